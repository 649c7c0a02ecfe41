"""Lists of images by address, and folders for output; see :mod:`saywhere.storage.remote`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from saywhere.core.atomic import write_atomically
from saywhere.core.images import is_image_name
from saywhere.errors import SaywhereError
from saywhere.storage.remote import file_system as file_system
from saywhere.storage.remote import is_address as is_address
from saywhere.storage.remote import open_file as open_file
from saywhere.storage.remote import read_bytes as read_bytes
from saywhere.storage.remote import reason_of


def list_addresses(source: str) -> Iterator[str]:
    """The addresses that a source names, in its order.

    Args:
        source: a text file (.txt) with an address in each line, relative to the file unless it has a protocol or is
            absolute; a folder, of whose images; or a pattern with ``*``.

    Raises:
        SaywhereError: there is no image.
    """
    found = 0
    for address in _lines(source) if source.lower().endswith(".txt") else _matches(source):
        found += 1
        yield address
    if not found:
        raise SaywhereError(f"source '{source}': names no image")


def _lines(source: str) -> Iterator[str]:
    folder = source.rpartition("/")[0]
    with open_file(source) as file:
        for line in file:
            address = line.decode(errors="surrogateescape").strip()
            if address:
                is_relative = not is_address(address) and not Path(address).is_absolute()
                yield f"{folder}/{address}" if folder and is_relative else address


def _matches(source: str) -> Iterator[str]:
    system, path = file_system(source)
    try:
        paths = system.glob(path) if "*" in path else system.find(path)
    except Exception as error:  # as above
        raise SaywhereError(f"source '{source}': cannot be listed ({reason_of(error)})") from error
    for each in sorted(paths):
        if is_image_name(Path(each)):
            yield system.unstrip_protocol(each) if is_address(source) else each


class Folder:
    """A folder for output, local or by address.

    Args:
        address: is created if it is not there.

    Raises:
        SaywhereError: it cannot be made.
    """

    def __init__(self, address: str) -> None:
        self.address = address.rstrip("/")
        self._system, self._path = file_system(self.address)
        try:
            self._system.makedirs(self._path, exist_ok=True)
        except Exception as error:  # file systems have exceptions of their own
            raise SaywhereError(f"folder '{address}': cannot be made ({reason_of(error)})") from error

    def names(self) -> list[str]:
        """The names of its files."""
        return sorted(str(path).rpartition("/")[2] for path in self._system.ls(self._path, detail=False))

    def read(self, name: str) -> bytes:
        """The content of a file."""
        return read_bytes(f"{self.address}/{name}")

    def write(self, name: str, content: bytes) -> None:
        """Write a file: whole, or not at all.

        Raises:
            SaywhereError: it cannot be written.
        """
        if not is_address(self.address):
            write_atomically(Path(self.address) / name, content)
            return
        try:
            self._system.pipe_file(f"{self._path}/{name}", content)  # object stores show a file once it is complete
        except Exception as error:  # as above
            raise SaywhereError(f"'{self.address}/{name}': cannot be written ({reason_of(error)})") from error
