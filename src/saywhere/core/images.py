"""Image files: which there are, what their headers say, and their pixels as RGB."""

from __future__ import annotations

import hashlib
import io
import os
import stat
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from saywhere.core.arrays import ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.rgb import MAX_PIXELS as MAX_PIXELS
from saywhere.core.rgb import ORIENTATION as ORIENTATION
from saywhere.core.rgb import SIDEWAYS as SIDEWAYS
from saywhere.core.rgb import (
    check_declared_size,
    orientation_of,
    rgb_from_array,
    rgb_from_pil,
    stored_size,
    too_large,
)
from saywhere.errors import SaywhereError

IMAGE_SUFFIXES: Final = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".jpe", ".jfif", ".jp2", ".mpo", ".gif", ".ppm", ".pgm",
    ".pnm", ".avif", ".heic", ".heif",
)  # fmt: skip
"""Suffixes of image files, in lower case; the commonest first."""
_PLUGINS = {
    "JPEG": "Jpeg", "PNG": "Png", "WEBP": "WebP", "TIFF": "Tiff", "BMP": "Bmp", "GIF": "Gif", "PPM": "Ppm",
    "JPEG2000": "Jpeg2K", "AVIF": "Avif",
}  # fmt: skip


def _register_formats() -> tuple[str, ...]:
    """Import Pillow's plugins of these formats alone, each of which registers its own; those that this Pillow has."""
    for plugin in _PLUGINS.values():
        with suppress(ImportError):  # AVIF comes with Pillow 11.3
            import_module(f"PIL.{plugin}ImagePlugin")
    return tuple(name for name in _PLUGINS if name in Image.OPEN)


PILLOW_FORMATS: Final = _register_formats()
"""The formats that Pillow may open. It knows others that run programs (EPS runs Ghostscript) or open further files."""
UNREADABLE: Final = (Exception,)
"""What Pillow may raise for a file that is damaged or not an image.

Its decoders do not convert the exceptions of the code that they call: NotImplementedError, struct.error, zlib.error,
AttributeError, KeyError where Pillow was built without a format, and warnings that Python's settings make errors.
"""

READABLE = "JPEG, PNG, WebP, TIFF, BMP, GIF, PNM, JPEG 2000 and AVIF"
# Formats by their first bytes, which are named where they cannot be read.
_SIGNATURES: Final = (
    (b"%!PS", "an EPS or PostScript file"), (b"\xc5\xd0\xd3\xc6", "an EPS file"), (b"%PDF", "a PDF file"),
    (b"DDS ", "a DDS image"), (b"8BPS", "a Photoshop file"), (b"BLP", "a BLP image"), (b"\x00\x00\x01\x00", "an icon"),
    (b"qoif", "a QOI image"), (b"\xff\x0a", "a JPEG XL image"), (b"\x00\x00\x00\x0cJXL ", "a JPEG XL image"),
    (b"v/1\x01", "an OpenEXR image"), (b"#?RADIANCE", "a Radiance HDR image"), (b"<svg", "an SVG drawing"),
    (b"<?xml", "an XML file, perhaps an SVG drawing"), (b"PK\x03\x04", "a zip archive"),
    (b"version https://git-lfs", "a pointer of Git LFS; get the image itself with git lfs pull"),
)  # fmt: skip
_HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
_AVIF_BRANDS = (b"avif", b"avis")


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What the header of an image file declares, before its pixels are read.

    Attributes:
        size: height and width of the upright image, as :func:`read_image` returns it.
        is_turned: whether the pixels are stored another way than upright, so that programs that ignore EXIF data show
            another picture.
    """

    size: ImageSize
    is_turned: bool


def is_image_name(path: Path) -> bool:
    """Whether a file's name is that of an image: a known suffix, in any case, and not hidden by a leading dot."""
    return path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")


def list_images(folder: Path, on_error: Callable[[OSError], None] | None = None) -> list[str]:
    """The image files in a folder and in all folders below it.

    Hidden files and folders are left out; links to folders are not followed.

    Args:
        folder: where to look.
        on_error: called with what hinders a folder from being listed; such folders are passed over without it.

    Returns:
        Paths relative to the folder, with ``/``, sorted.
    """
    names_below = []
    for parent, folders, names in os.walk(folder, onerror=on_error):
        folders[:] = [name for name in folders if not name.startswith(".")]
        paths = [Path(parent, name) for name in names]
        names_below += [path.relative_to(folder).as_posix() for path in paths if is_image_name(path) and path.is_file()]
    return sorted(names_below)


# Headers


def read_header(path: Path) -> ImageHeader:
    """Size and orientation of an image file, without its pixels.

    Raises:
        SaywhereError: the file is missing, not an image, or declares no pixels or more than :data:`MAX_PIXELS`.
    """
    with _open_file(path) as file:
        return header_of_file(file, _name_of(path))


def header_of_content(content: bytes, name: str) -> ImageHeader:
    """As :func:`read_header`, of the content of an image file; ``name`` is what errors call it."""
    return header_of_file(io.BytesIO(content), name)


def header_of_file(file: BinaryIO, name: str) -> ImageHeader:
    """As :func:`read_header`, of an open file; ``name`` is what errors call it."""
    with _decoding(file, name) as image:
        orientation = orientation_of(image)
        width, height = stored_size(image)
        if orientation in SIDEWAYS:
            width, height = height, width
        return ImageHeader(ImageSize(height, width), orientation != 1)


def image_size(path: Path) -> ImageSize:
    """Height and width of an image file as :func:`read_image` returns it, from the header alone.

    Raises:
        SaywhereError: as for :func:`read_header`.
    """
    return read_header(path).size


def image_digest(path: Path) -> str:
    """SHA-256 of an image file's content.

    Raises:
        SaywhereError: the file cannot be opened.
    """
    with _open_file(path) as file:
        return _digest(file, _name_of(path))


def _digest(file: BinaryIO, name: str) -> str:
    digest = hashlib.sha256()
    try:
        while part := file.read(1 << 20):
            digest.update(part)
        return digest.hexdigest()
    except OSError as error:
        raise SaywhereError(f"{name}: cannot be read ({error.strerror or error})") from error


# Pixels


def read_image(source: str | Path | Image.Image | NDArray[Any]) -> ImageArray:
    """Read an image as RGB, upright (EXIF orientation applied), transparency over white.

    Values of more than 8 bits, and floats, are scaled to 8 bits (:func:`saywhere.core.grey_levels.value_range`).

    Args:
        source: a path, a PIL image, or an array: ``(H, W)`` of bool, integers or floats, or ``(H, W, 3)`` or
            ``(H, W, 4)`` of uint8 or uint16.

    Returns:
        ``(H, W, 3)`` uint8 RGB. It may be read-only. An array that can be changed is copied.

    Raises:
        SaywhereError: it is no image, damaged, empty or larger than :data:`MAX_PIXELS`.
    """
    if isinstance(source, np.ndarray):
        return rgb_from_array(source)
    if isinstance(source, Image.Image):
        with _errors_named(name := "the PIL image"):
            return rgb_from_pil(source, name)
    if not isinstance(source, (str, os.PathLike)):
        raise SaywhereError(f"a photograph of type {type(source).__name__}: give a path, a PIL image or an array")
    with _open_file(Path(source)) as file, _decoding(file, name := _name_of(source)) as image:
        return rgb_from_pil(image, name)


def read_image_and_digest(path: Path) -> tuple[ImageArray, str]:
    """:func:`read_image` and :func:`image_digest` of the very same content, from one file handle."""
    with _open_file(path) as file:
        digest = _digest(file, name := _name_of(path))
        file.seek(0)
        with _decoding(file, name) as image:
            return rgb_from_pil(image, name), digest


def decode_image(content: bytes, name: str) -> ImageArray:
    """The content of an image file as RGB; see :func:`read_image`.

    Args:
        content: all bytes of the file.
        name: what an error calls it.

    Returns:
        ``(H, W, 3)`` uint8 RGB. It may be read-only.

    Raises:
        SaywhereError: it is no image, damaged, empty or larger than :data:`MAX_PIXELS`.
    """
    with _decoding(io.BytesIO(content), name) as image:
        return rgb_from_pil(image, name)


# Opening files


def _name_of(path: str | os.PathLike[str]) -> str:
    return f"photograph '{Path(path)}'"


@contextmanager
def _open_file(path: Path) -> Iterator[BinaryIO]:
    """A regular file, opened once.

    Raises:
        SaywhereError: it cannot be opened, or is a folder, a pipe or a device, which might never end.
    """
    name = _name_of(path)
    try:
        # Without O_NONBLOCK, a pipe that nobody writes to never opens.
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = os.fdopen(os.open(path, flags), "rb")
    except FileNotFoundError as error:
        raise SaywhereError(f"{name}: there is no such file") from error
    except IsADirectoryError as error:
        raise SaywhereError(f"{name}: is a folder; give an image file") from error
    # ValueError: a path with a NUL.
    except (OSError, ValueError) as error:
        raise SaywhereError(f"{name}: cannot be opened ({getattr(error, 'strerror', None) or error})") from error
    with file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise SaywhereError(f"{name}: is a pipe or device; give an image file")
        yield file


@contextmanager
def _decoding(file: BinaryIO, name: str) -> Iterator[Image.Image]:
    """A file's image, whose size is checked and whose pixels are not read yet; any error in it becomes ours.

    Raises:
        SaywhereError: see :func:`decode_image`.
    """
    with _errors_named(name):
        head = file.read(64)
        file.seek(0)
        if not head:
            raise SaywhereError(f"{name}: the file is empty")
        formats = [*PILLOW_FORMATS, *_heif_format(head)]
        try:
            image = Image.open(file, formats=formats)
        except UnidentifiedImageError as error:
            raise SaywhereError(f"{name}: not an image, or cut short ({_what_it_is(head)})") from error
        with image:
            check_declared_size(image, name)
            yield image


@contextmanager
def _errors_named(name: str) -> Iterator[None]:
    """What Pillow raises becomes a SaywhereError with the image's name; what it warns of is not printed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except SaywhereError:
        raise
    except Image.DecompressionBombError as error:
        raise SaywhereError(too_large(name)) from error
    except MemoryError as error:
        raise SaywhereError(f"{name}: does not fit into memory; make it smaller") from error
    except UNREADABLE as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise SaywhereError(f"{name}: not an image, or cut short ({reason})") from error


def _brand(head: bytes) -> bytes:
    """The major brand of a file of the HEIF family; empty for others."""
    return head[8:12] if head[4:8] == b"ftyp" else b""


def _heif_format(head: bytes) -> list[str]:
    """Pillow's name of HEIC, for a HEIC file and where pillow-heif is installed."""
    if _brand(head) not in _HEIC_BRANDS:
        return []
    try:
        import pillow_heif
    except ImportError:
        return []
    pillow_heif.register_heif_opener()
    return ["HEIF"]


def _what_it_is(head: bytes) -> str:
    """What the first bytes of a file say that Pillow does not open."""
    if _brand(head) in _HEIC_BRANDS:
        return "a HEIC image, damaged or without pip install pillow-heif; or save it as JPEG"
    if _brand(head) in _AVIF_BRANDS:
        return "an AVIF image, damaged or of a kind that this Pillow cannot read; pillow 11.3 can, or save it as PNG"
    kind = next((kind for start, kind in _SIGNATURES if head.startswith(start)), "of no known format")
    return f"{kind}; what is read is {READABLE}"
