"""The folder of images. A page can ask only for images that were listed here; no request contains a path."""

from __future__ import annotations

import hashlib
import math
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from PIL import Image, ImageOps

from saywhere.annotate.picture import crop_image, encode_jpeg
from saywhere.core.arrays import ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.images import (
    MAX_PIXELS,
    PILLOW_FORMATS,
    UNREADABLE,
    ImageHeader,
    decode_image,
    header_of_file,
    list_images,
    read_image,
)
from saywhere.errors import SaywhereError

MAX_BYTES = 1 << 30
THUMBNAIL_QUALITY = 80
HAS_DIR_FD = os.open in os.supports_dir_fd  # not on Windows
DECODED_AT_ONCE = 64_000_000  # pixels; a larger image is decoded alone

FileStamp = tuple[int, int]
"""Modification time in ns and size in bytes: changes when the file does."""


class DecodeLimit:
    """Bounds how many pixels are being decoded at once: decoding takes several times the memory of the result.

    Args:
        pixels: how many at most; a larger image waits until it is alone.
    """

    def __init__(self, pixels: int = DECODED_AT_ONCE) -> None:
        self._maximum, self._in_use = pixels, 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, pixels: int) -> Iterator[None]:
        """Wait until an image of this many pixels may be decoded."""
        share = min(pixels, self._maximum)
        with self._changed:
            self._changed.wait_for(lambda: self._in_use + share <= self._maximum)
            self._in_use += share
        try:
            yield
        finally:
            with self._changed:
                self._in_use -= share
                self._changed.notify_all()


@dataclass(frozen=True)
class LoadedImage:
    """An image in memory.

    Args:
        pixels: ``(H, W, 3)`` uint8 RGB, upright and read-only, so that it can be shared without a copy.
        sha256: hash of its file.
    """

    pixels: ImageArray
    sha256: str

    @property
    def size(self) -> ImageSize:
        """Height and width."""
        return ImageSize(self.pixels.shape[0], self.pixels.shape[1])


class ImageFolder:
    """Images below a folder. Links that lead out of it, hidden files and special files are left out."""

    def __init__(self, root: Path) -> None:
        """Raises SaywhereError when there is no such folder."""
        if not root.is_dir():
            kind = "a file" if root.exists() else "not there"
            raise SaywhereError(f"folder '{root}': is {kind}; give a folder of images")
        self.root = root.resolve()
        self._decoding = DecodeLimit()

    def list_paths(self) -> list[str]:
        """The images' paths below the folder, with ``/``, sorted. Raises SaywhereError if it cannot be read."""
        return sorted(self._walk())

    def _walk(self) -> Iterator[str]:
        def on_error(error: OSError) -> None:
            if Path(error.filename) == self.root:
                raise SaywhereError(f"folder '{self.root}': cannot be read ({error.strerror})") from error

        for relative in filter(_is_utf8, list_images(self.root, on_error)):
            try:
                self.locate(relative)
            except SaywhereError:
                continue
            yield relative

    def locate(self, relative: str) -> Path:
        """The file of a listed image. Raises SaywhereError when it is gone, no file, or outside the folder."""
        try:
            path = (self.root / relative).resolve(strict=True)
            status = path.stat()
        except (OSError, RuntimeError, ValueError) as error:
            raise SaywhereError(f"image '{relative}': is not there any more") from error
        if not path.is_relative_to(self.root):
            raise SaywhereError(f"image '{relative}': leads out of the folder; put the file itself there")
        if not stat.S_ISREG(status.st_mode):
            raise SaywhereError(f"image '{relative}': is not a file")
        if status.st_size > MAX_BYTES:
            raise SaywhereError(f"image '{relative}': of {status.st_size / 1e9:.1f} GB; give at most 1 GB")
        return path

    def load(self, relative: str, make_room: Callable[[int], None] = lambda count: None) -> LoadedImage:
        """An image, upright; its file is read once.

        Args:
            relative: its path below the folder.
            make_room: called with the bytes that its pixels will take, before they are decoded.

        Raises:
            SaywhereError: it cannot be read.
        """
        with self._open(relative) as file:
            pixel_count = math.prod(_read_header(file, relative).size)
            with self._decoding.reserve(pixel_count):
                make_room(3 * pixel_count)
                file.seek(0)
                try:
                    content = file.read()
                except OSError as error:
                    raise SaywhereError(f"image '{relative}': {_reason(error)}") from error
                pixels = decode_image(content, f"image '{relative}'")
        pixels.flags.writeable = False
        return LoadedImage(pixels, hashlib.sha256(content).hexdigest())

    def stamp(self, relative: str) -> FileStamp:
        """The stamp of a listed image's file; errors as in :meth:`locate`."""
        status = self.locate(relative).stat()
        return status.st_mtime_ns, status.st_size

    def header(self, relative: str) -> ImageHeader:
        """Size and orientation of a listed image, without its pixels. Raises SaywhereError when it cannot be read."""
        with self._open(relative) as file:
            return _read_header(file, relative)

    def digest(self, relative: str) -> str:
        """SHA-256 of a listed image's file. Raises SaywhereError when it cannot be read."""
        with self._open(relative) as file:
            try:
                return hashlib.file_digest(file, "sha256").hexdigest()
            except OSError as error:
                raise SaywhereError(f"image '{relative}': {_reason(error)}") from error

    def make_thumbnail(self, relative: str, side: int = 128) -> bytes:
        """A small JPEG, upright, its longer side at most ``side``. Raises SaywhereError when it cannot be made."""
        with self._open(relative) as file:
            pixel_count = math.prod(_read_header(file, relative).size)
            if pixel_count > MAX_PIXELS:
                raise SaywhereError(f"image '{relative}': too large")
            file.seek(0)
            try:
                with self._decoding.reserve(pixel_count), Image.open(file, formats=PILLOW_FORMATS) as image:
                    image.draft("RGB", (2 * side, 2 * side))
                    image.thumbnail((2 * side, 2 * side))
                    pixels = read_image(ImageOps.exif_transpose(image))
            except SaywhereError:
                raise
            except UNREADABLE as error:
                raise SaywhereError(f"image '{relative}': {_reason(error)}") from error
        height, width = pixels.shape[:2]
        return encode_jpeg(crop_image(pixels, (0, 0, width, height), side), THUMBNAIL_QUALITY)

    @contextmanager
    def _open(self, relative: str) -> Iterator[BufferedReader]:
        """A listed image's file, opened so that no link is followed after :meth:`locate` has checked where it leads."""
        path = self.locate(relative)
        try:
            descriptor = _open_without_links(self.root, path.relative_to(self.root).parts)
        except OSError as error:
            raise SaywhereError(f"image '{relative}': {_reason(error)}") from error
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise SaywhereError(f"image '{relative}': is not a file")
            yield file


def _open_without_links(root: Path, parts: tuple[str, ...]) -> int:
    """A descriptor of a file below a folder, opened folder by folder so that none of the parts may be a link."""
    # A FIFO would wait for a writer; Windows needs the binary mode.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
    if not HAS_DIR_FD:
        return os.open(root.joinpath(*parts), flags)
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts[:-1]:
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=folder)
            os.close(folder)
            folder = below
        return os.open(parts[-1], flags | os.O_NOFOLLOW, dir_fd=folder)
    finally:
        os.close(folder)


def _read_header(file: BufferedReader, relative: str) -> ImageHeader:
    return header_of_file(file, f"image '{relative}'")


def _is_utf8(name: str) -> bool:
    """File names that are not UTF-8 can be stored neither in a database nor in a page."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _reason(error: BaseException) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MAX_PIXELS:,} pixels, taken for a decompression bomb"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened ({error.strerror})"
    return "not an image, or cut short"
