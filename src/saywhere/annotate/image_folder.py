"""The folder of images. A page can ask only for images that were listed here; no request contains a path."""

from __future__ import annotations

import hashlib
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageOps

from saywhere.annotate.picture import crop_image, encode_jpeg
from saywhere.core.arrays import ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.images import MAX_PIXELS, PILLOW_FORMATS, UNREADABLE, decode_image, list_images, read_image
from saywhere.errors import SaywhereError

MAX_BYTES = 1 << 30
THUMBNAIL_QUALITY = 80

FileStamp = tuple[int, int]
"""Modification time in ns and size in bytes: changes when the file does."""


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

    def load(self, relative: str) -> LoadedImage:
        """An image, upright; its file is read once. Raises SaywhereError when it cannot be read."""
        path = self.locate(relative)
        try:
            content = path.read_bytes()
        except OSError as error:
            raise SaywhereError(f"image '{relative}': {_reason(error)}") from error
        pixels = decode_image(content, f"image '{relative}'")
        pixels.flags.writeable = False
        return LoadedImage(pixels, hashlib.sha256(content).hexdigest())

    def stamp(self, relative: str) -> FileStamp:
        """The stamp of a listed image's file; errors as in :meth:`locate`."""
        status = self.locate(relative).stat()
        return status.st_mtime_ns, status.st_size

    def make_thumbnail(self, relative: str, side: int = 128) -> bytes:
        """A small JPEG, upright, its longer side at most ``side``. Raises SaywhereError when it cannot be made."""
        path = self.locate(relative)
        try:
            with Image.open(path, formats=PILLOW_FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise SaywhereError(f"image '{relative}': too large")
                image.draft("RGB", (2 * side, 2 * side))
                image.thumbnail((2 * side, 2 * side))
                pixels = read_image(ImageOps.exif_transpose(image))
        except SaywhereError:
            raise
        except UNREADABLE as error:
            raise SaywhereError(f"image '{relative}': {_reason(error)}") from error
        height, width = pixels.shape[:2]
        return encode_jpeg(crop_image(pixels, (0, 0, width, height), side), THUMBNAIL_QUALITY)


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
