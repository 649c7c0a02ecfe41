"""Files by address: local paths, and whatever fsspec knows (https://, s3://, gs://, memory:// ...)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saywhere.errors import SaywhereError, needing


def is_address(text: str) -> bool:
    """Whether a text names a file beyond local paths, as ``protocol://...``."""
    return "://" in text


def file_system(address: str) -> tuple[Any, str]:
    """The fsspec file system of an address, and the path in it.

    Raises:
        SaywhereError: fsspec or the package for this protocol is missing, or the protocol is unknown.
    """
    with needing("tables", f"address '{address}'"):
        import fsspec
    try:
        return fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        raise SaywhereError(f"address '{address}': {' '.join(str(error).split())[:200]}") from error


def open_file(address: str) -> Any:
    """A file for reading.

    Raises:
        SaywhereError: it cannot be opened.
    """
    system, path = file_system(address)
    try:
        return system.open(path, "rb")
    except Exception as error:  # file systems have exceptions of their own
        raise SaywhereError(f"'{address}': cannot be read ({reason_of(error)})") from error


def read_bytes(address: str) -> bytes:
    """The content of a file.

    Raises:
        SaywhereError: it cannot be read.
    """
    if not address:
        raise SaywhereError("no image; give an address or the content of a file")
    with open_file(address) as file:
        try:
            return file.read()
        except Exception as error:  # as above
            raise SaywhereError(f"'{address}': cannot be read ({reason_of(error)})") from error


def read_part(address: str, start: int, size: int) -> bytes:
    """A part of a file's content.

    Args:
        address: of the file.
        start: the first byte.
        size: how many bytes.

    Raises:
        SaywhereError: it cannot be read, or is shorter than that.
    """
    try:
        if is_address(address):
            system, path = file_system(address)  # fsspec keeps one for each process
            content = system.cat_file(path, start=start, end=start + size)
        else:
            with Path(address).open("rb") as file:
                file.seek(start)
                content = file.read(size)
    except SaywhereError:
        raise
    except Exception as error:  # file systems have exceptions of their own
        raise SaywhereError(f"'{address}': cannot be read ({reason_of(error)})") from error
    if len(content) != size:
        raise SaywhereError(
            f"'{address}': has {len(content):,} of {size:,} bytes from byte {start:,} on; it was changed"
        )
    return content


def version_of(address: str) -> Mapping[str, str]:
    """What tells one version of a file from another: its size, and when it was changed or its tag.

    Raises:
        SaywhereError: it is not there.
    """
    try:
        if not is_address(address):
            status = Path(address).stat()
            return {"size": str(status.st_size), "changed": str(status.st_mtime_ns)}
        system, path = file_system(address)
        known = system.info(path)
        names = ("size", "ETag", "etag", "mtime", "LastModified", "last_modified", "updated")
        return {name: str(known[name]) for name in names if known.get(name) is not None}
    except SaywhereError:
        raise
    except Exception as error:  # as above
        raise SaywhereError(f"'{address}': cannot be read ({reason_of(error)})") from error


def reason_of(error: Exception) -> str:
    """The message of an error, in one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())}"[:200]
