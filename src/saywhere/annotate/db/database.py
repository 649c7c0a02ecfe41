"""Opening a database so that what was committed is on the disk: SQLite by default, PostgreSQL by its URL."""

from __future__ import annotations

import logging
import random
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, inspect, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from saywhere.annotate.db.tables import VERSION, Base, SchemaRow
from saywhere.errors import SaywhereError

PROJECT_FOLDER = ".saywhere"  # the annotator's own files, in the folder of images
DATABASE_PATH = Path(PROJECT_FOLDER) / "annotations.sqlite"
BUSY_TIMEOUT = 15  # seconds to wait for another writer


ATTEMPTS = 5  # of a transaction that another server's came before
# SQLSTATE of what succeeds when it is done again: serialization failure, deadlock, unique violation.
TRANSIENT_STATES = frozenset({"40001", "40P01", "23505"})

T = TypeVar("T")


class DatabaseLostError(SaywhereError):
    """The database's file was deleted or replaced while it was open: nothing that is written now would last."""


class Database:
    """Sessions that read, and sessions that write and commit."""

    def __init__(self, url: str | URL) -> None:
        """Open, and create the tables where there are none. Raises SaywhereError when it cannot be used."""
        self.url = _parse_url(url)
        try:
            self._engine = _create_engine(self.url)
            _create_tables(self._engine)
            _check_tables(self._engine)
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise SaywhereError(f"database '{self.display_name}': {_explain(error)}") from error
        except SaywhereError as error:
            raise SaywhereError(f"database '{self.display_name}': {error}") from error
        self._file = self._file_identity()

    @property
    def display_name(self) -> str:
        """The URL without its password."""
        if self.url.get_backend_name() == "sqlite":
            return str(self.url.database)
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def read_session(self) -> Iterator[Session]:
        """One snapshot of the database. Raises DatabaseLostError when its file is not there any more."""
        self._check_file()
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write_session(self) -> Iterator[Session]:
        """Committed at the end, or nothing of it if an error is raised; errors as for :meth:`read_session`."""
        self._check_file()
        engine = self._engine.execution_options(saywhere_writes=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def write(self, work: Callable[[Session], T]) -> T:
        """Do work in a writing session; again where another server's transaction came in between.

        Args:
            work: called with the session, and more than once where transactions collide.

        Returns:
            Its result, once that is committed.
        """
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with self.write_session() as session:
                    return work(session)
            except DBAPIError as error:
                if attempt == ATTEMPTS or not _is_transient(error):
                    raise
                time.sleep(random.uniform(0.0, 0.02) * 2**attempt)
        raise AssertionError("the last attempt returns or raises")

    def explain(self, error: SQLAlchemyError) -> str:
        """One line for an error while the database is in use: what is wrong, and what to do."""
        return f"database '{self.display_name}': {_explain(error)}"

    def checkpoint(self) -> None:
        """Move everything that was committed into SQLite's main file, so that it is whole without its ``-wal``."""
        if self.url.get_backend_name() != "sqlite":
            return
        self._check_file()
        with self._engine.connect() as connection:
            # Not within a transaction, which a checkpoint would wait for.
            cursor = connection.connection.cursor()
            connection.rollback()
            cursor.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            cursor.close()

    def close(self) -> None:
        """Checkpoint, and close all connections. What is committed stays so where a checkpoint is not possible."""
        try:
            self.checkpoint()
        except (SQLAlchemyError, sqlite3.Error, SaywhereError) as error:
            logging.getLogger("saywhere").warning("database '%s': not checkpointed (%s)", self.display_name, error)
        self._engine.dispose()

    def _file_identity(self) -> tuple[int, int] | None:
        """Device and inode of SQLite's file; None where there is none."""
        if self.url.get_backend_name() != "sqlite":
            return None
        try:
            status = Path(str(self.url.database)).stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def _check_file(self) -> None:
        if self._file is None:
            return
        now = self._file_identity()
        if now == self._file:
            return
        what = "was deleted or moved away" if now is None else "was replaced by another file"
        raise DatabaseLostError(
            f"database '{self.display_name}': {what} while the annotator was running, so nothing can be stored; "
            "put it back, or start the annotator again"
        )


def default_database_url(folder: Path) -> URL:
    """The SQLite file in a folder of images."""
    return URL.create("sqlite", database=str(folder / DATABASE_PATH))


def _parse_url(url: str | URL) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise SaywhereError(
            f"--database '{url}': give a URL, for example postgresql://user@host/name or sqlite:////folder/file.sqlite"
        ) from error
    backend = parsed.get_backend_name()
    if backend not in ("sqlite", "postgresql"):
        raise SaywhereError(f"--database of kind '{backend}': give sqlite or postgresql")
    if backend == "sqlite" and not parsed.database:
        raise SaywhereError("--database in memory: forgets everything at the end; give a file, sqlite:////folder/file")
    return parsed.set(drivername="postgresql+psycopg") if parsed.drivername == "postgresql" else parsed


def _create_engine(url: URL) -> Engine:
    if url.get_backend_name() != "sqlite":
        return create_engine(url, pool_pre_ping=True)
    path = Path(str(url.database))
    path.parent.mkdir(parents=True, exist_ok=True)
    _check_log(path)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _check_log(path: Path) -> None:
    """A write-ahead log without its database holds annotations, which SQLite would delete for a new database."""
    log = path.with_name(f"{path.name}-wal")
    if log.is_file() and log.stat().st_size > 0 and (not path.exists() or path.stat().st_size == 0):
        raise SaywhereError(
            f"is not there, but its write-ahead log '{log.name}' is, with annotations in it; put the database back, or "
            "move the log away to start anew"
        )


def _configure_sqlite(connection: Any, _record: object) -> None:
    # Transactions begin below, not where Python's driver thinks they should.
    connection.isolation_level = None
    cursor = connection.cursor()
    # FULL: a commit returns when it is on the disk, and outlives the machine's own sudden end too.
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={BUSY_TIMEOUT * 1000}"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A writer that begins as a reader may find, too late, that another one was first.
    writes = connection.get_execution_options().get("saywhere_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _create_tables(engine: Engine) -> None:
    with Session(engine.execution_options(saywhere_writes=True)) as session, session.begin():
        if session.get_bind().dialect.name == "postgresql":
            # Two servers that start at once must not both create the tables.
            session.connection().exec_driver_sql("SELECT pg_advisory_xact_lock(7297)")
        Base.metadata.create_all(session.connection())
        version = session.scalars(select(SchemaRow.version)).one_or_none()
        if version is None:
            session.add(SchemaRow(version=VERSION))
        elif version != VERSION:
            raise SaywhereError(f"is of version {version}, this program of {VERSION}; use the other program")


def _check_tables(engine: Engine) -> None:
    """Whether the file is whole and has every column that is used."""
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            first = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
        if first != "ok":
            raise SaywhereError(DAMAGED.format(str(first).splitlines()[-1]))
    columns = inspect(engine)
    for table in Base.metadata.sorted_tables:
        there = {column["name"] for column in columns.get_columns(table.name)}
        if missing := [column.name for column in table.columns if column.name not in there]:
            raise SaywhereError(
                f"its table {table.name} lacks the column {missing[0]}: another program has changed it; restore a copy"
            )


DAMAGED = (
    "is damaged ({}); stop the annotator, keep the file, and restore a copy, or save what can be read: sqlite3 FILE "
    "'.recover' | sqlite3 NEW-FILE"
)
# What SQLite says, and what that means.
SQLITE_ERRORS = (
    (("malformed", "not a database"), DAMAGED),
    (("no such table", "no such column"), "is not as this program made it ({}); restore a copy"),
    (("disk is full",), "the disk is full ({}); nothing is lost: make room, and ask again"),
    (("locked", "busy"), "is in use by another program ({}); nothing is lost: ask again"),
    (("readonly", "read-only"), "cannot be written ({}); nothing is lost: see its permissions and those of its folder"),
    (("disk I/O",), "cannot be read or written ({}); nothing that was answered is lost: see the disk"),
)


def _explain(error: Exception) -> str:
    if isinstance(error, (ImportError, NoSuchModuleError)):
        return "PostgreSQL needs psycopg: pip install 'saywhere[postgres]'"
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    if isinstance(error, DBAPIError) and _is_transient(error):
        return "another server changed the same at the same moment; nothing is lost: ask again"
    if isinstance(cause, sqlite3.Error):
        for words, meaning in SQLITE_ERRORS:
            if any(word in text for word in words):
                return meaning.format(text)
    return f"cannot be used ({text}); see --database, and whether the folder can be written"


def _is_transient(error: DBAPIError) -> bool:
    """Whether the same transaction can succeed when it is done again."""
    return isinstance(error, IntegrityError) or getattr(error.orig, "sqlstate", None) in TRANSIENT_STATES
