"""Opening a database so that what was committed is on the disk: SQLite by default, PostgreSQL by its URL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url, select
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, SQLAlchemyError
from sqlalchemy.orm import Session

from saywhere.annotate.db.tables import VERSION, Base, SchemaRow
from saywhere.errors import SaywhereError

PROJECT_FOLDER = ".saywhere"  # the annotator's own files, in the folder of images
DATABASE_PATH = Path(PROJECT_FOLDER) / "annotations.sqlite"
BUSY_TIMEOUT = 15  # seconds to wait for another writer


class Database:
    """Sessions that read, and sessions that write and commit."""

    def __init__(self, url: str | URL) -> None:
        """Open, and create the tables where there are none. Raises SaywhereError when it cannot be used."""
        self.url = _parse_url(url)
        try:
            self._engine = _create_engine(self.url)
            _create_tables(self._engine)
        except (SQLAlchemyError, OSError, ImportError) as error:
            raise SaywhereError(f"database '{self.display_name}': {_explain(error)}") from error

    @property
    def display_name(self) -> str:
        """The URL without its password."""
        if self.url.get_backend_name() == "sqlite":
            return str(self.url.database)
        return self.url.render_as_string(hide_password=True)

    @contextmanager
    def read_session(self) -> Iterator[Session]:
        """One snapshot of the database."""
        with Session(self._engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write_session(self) -> Iterator[Session]:
        """Committed at the end, or nothing of it if an error is raised."""
        engine = self._engine.execution_options(saywhere_writes=True)
        with Session(engine, expire_on_commit=False) as session, session.begin():
            yield session

    def close(self) -> None:
        self._engine.dispose()


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
    Path(str(url.database)).parent.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args={"timeout": BUSY_TIMEOUT})
    event.listen(engine, "connect", _configure_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


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
            raise SaywhereError(
                f"the database is of version {version}, this program of {VERSION}; use the other program"
            )


def _explain(error: Exception) -> str:
    if isinstance(error, (ImportError, NoSuchModuleError)):
        return "PostgreSQL needs psycopg: pip install 'saywhere[postgres]'"
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = str(cause).strip().splitlines()[0]
    return f"cannot be used ({text}); see --database, and whether the folder can be written"
