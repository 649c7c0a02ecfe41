"""Atomic output: files are written whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from saywhere.errors import SaywhereError


def write_atomically(path: Path, content: bytes) -> None:
    """Replace a file in one step: until the new content is on the disk the old file stays.

    Args:
        path: the file; missing folders are made.
        content: its new content.

    Raises:
        SaywhereError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".saywhere-")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files that only the owner may read; results are for whom the folder is for.
            umask = os.umask(0)
            os.umask(umask)
            Path(temporary).chmod(0o666 & ~umask)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    # ValueError: a path with a NUL.
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SaywhereError(f"'{path}': cannot be written ({reason})") from error


@contextmanager
def atomic_output(dest: Path) -> Iterator[Path]:
    """A temporary path for a file or a folder, which is moved to ``dest`` in one step, or removed after an error.

    Args:
        dest: where the output goes; missing folders are made.

    Raises:
        SaywhereError: something other than an empty folder is at ``dest``, or it cannot be written.
    """
    if dest.exists() and not (dest.is_dir() and not any(dest.iterdir())):
        raise SaywhereError(f"'{dest}': is there already; move it away or write elsewhere")
    try:
        dest.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=dest.parent, prefix=f".{dest.name}.") as folder:
            temporary = Path(folder) / dest.name
            yield temporary
            # The new name must not outlive a power cut that the content does not.
            os.sync()
            if dest.is_dir():
                dest.rmdir()
            temporary.replace(dest)
    except OSError as error:
        raise SaywhereError(f"'{error.filename or dest}': cannot be written ({error.strerror or error})") from error


def copy_file(source: Path, dest: Path) -> None:
    """Copy a file's content; missing folders are made.

    Raises:
        SaywhereError: it cannot be read.
    """
    dest.parent.mkdir(parents=True, exist_ok=True)
    try:
        content = source.open("rb")
    except OSError as error:
        raise SaywhereError(f"'{source}': cannot be opened ({error.strerror or error})") from error
    with content, dest.open("wb") as file:
        shutil.copyfileobj(content, file)
