"""The folder of photographs. What a page may see is what was listed here; nobody ever sends a path."""

from __future__ import annotations

import hashlib
import io
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from saywhere.core.arrays import ImageArray
from saywhere.core.crop import Crop
from saywhere.core.images import MOST_PIXELS, read_image
from saywhere.errors import SaywhereError

# Pillow would also open formats that run other programs (EPS) or fetch other files. These are photographs.
FORMATS = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000")
ENDINGS = "jpg jpeg jpe jfif jp2 mpo png webp tif tiff bmp gif ppm pgm pnm"
SUFFIXES = frozenset(f".{ending}" for ending in ENDINGS.split())
MOST_BYTES = 1 << 30
QUALITY = 90


@dataclass(frozen=True)
class Opened:
    """A photograph in memory: ``pixels`` (H, W, 3) uint8 RGB, and the SHA-256 of its file."""

    pixels: ImageArray
    sha256: str

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]


class Folder:
    """Photographs below a folder. Links that lead out of it, hidden files and what is no file are left out."""

    def __init__(self, root: Path) -> None:
        """Raises SaywhereError when there is no such folder."""
        if not root.is_dir():
            kind = "a file" if root.exists() else "not there"
            raise SaywhereError(f"folder '{root}': is {kind}; give a folder of photographs")
        self.root = root.resolve()

    def paths(self) -> list[str]:
        """The photographs' paths below the folder, with ``/``, in order. Raises SaywhereError if it cannot be read."""
        return sorted(self._walk())

    def _walk(self) -> Iterator[str]:
        def refuse(error: OSError) -> None:
            if Path(error.filename) == self.root:
                raise SaywhereError(f"folder '{self.root}': cannot be read ({error.strerror})") from error

        for parent, folders, names in os.walk(self.root, onerror=refuse):
            folders[:] = [name for name in folders if not name.startswith(".")]
            for name in names:
                path = Path(parent) / name
                relative = path.relative_to(self.root).as_posix()
                if path.suffix.lower() in SUFFIXES and not name.startswith(".") and _is_text(relative):
                    try:
                        self.locate(relative)
                    except SaywhereError:
                        continue
                    yield relative

    def locate(self, relative: str) -> Path:
        """The file of a listed photograph. Raises SaywhereError when it is gone, no file, or outside the folder."""
        try:
            path = (self.root / relative).resolve(strict=True)
            kind = path.stat()
        except (OSError, RuntimeError, ValueError) as error:
            raise SaywhereError(f"photograph '{relative}': is not there any more") from error
        if not path.is_relative_to(self.root):
            raise SaywhereError(f"photograph '{relative}': leads out of the folder; put the file itself there")
        if not stat.S_ISREG(kind.st_mode):
            raise SaywhereError(f"photograph '{relative}': is not a file")
        if kind.st_size > MOST_BYTES:
            raise SaywhereError(f"photograph '{relative}': of {kind.st_size / 1e9:.1f} GB; give at most 1 GB")
        return path

    def read(self, relative: str) -> Opened:
        """A photograph, upright. Raises SaywhereError when it cannot be read."""
        path = self.locate(relative)
        try:
            content = path.read_bytes()
            with Image.open(io.BytesIO(content), formats=FORMATS):
                pass
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise SaywhereError(f"photograph '{relative}': {_fault(error)}") from error
        try:
            return Opened(read_image(path), hashlib.sha256(content).hexdigest())
        except SaywhereError as error:
            # A person at the page need not know where on the server's disk the folder lies.
            raise SaywhereError(str(error).replace(str(path), relative)) from error

    def stamp(self, relative: str) -> tuple[int, int]:
        """Changes when the file does: its time in ns and its bytes."""
        found = self.locate(relative).stat()
        return found.st_mtime_ns, found.st_size

    def thumbnail(self, relative: str, side: int = 128) -> bytes:
        """A small JPEG, upright, its longer side at most ``side``. Raises SaywhereError when it cannot be made."""
        path = self.locate(relative)
        try:
            with Image.open(path, formats=FORMATS) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise SaywhereError(f"photograph '{relative}': too large")
                image.draft("RGB", (2 * side, 2 * side))
                image.thumbnail((2 * side, 2 * side))
                small = ImageOps.exif_transpose(image)
                pixels = read_image(small)
        except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
            raise SaywhereError(f"photograph '{relative}': {_fault(error)}") from error
        height, width = pixels.shape[:2]
        return as_jpeg(crop(pixels, (0, 0, width, height), side), 80)


def crop(pixels: ImageArray, box: tuple[int, int, int, int], longest: int) -> ImageArray:
    """The part of a photograph in a box, made smaller where its longer side is above ``longest``, never larger."""
    left, top, right, bottom = box
    if max(right - left, bottom - top) <= longest:
        return pixels[top:bottom, left:right]
    return Crop.from_box(box, (pixels.shape[0], pixels.shape[1]), longest).crop(pixels)


def as_jpeg(pixels: ImageArray, quality: int = QUALITY) -> bytes:
    packed = cv2.imencode(
        ".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality]
    )[1]  # fmt: skip
    return packed.tobytes()


def as_png(grey: np.ndarray) -> bytes:
    """``(H, W)`` in [0, 1] as an 8-bit grey PNG."""
    return cv2.imencode(".png", np.round(np.clip(grey, 0.0, 1.0) * 255.0).astype(np.uint8))[1].tobytes()


def _is_text(name: str) -> bool:
    """Names that are no UTF-8 can be kept neither in a database nor in a page."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return f"more than {MOST_PIXELS:,} pixels, taken for a decompression bomb"
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be opened ({error.strerror})"
    return "not an image, or cut short"
