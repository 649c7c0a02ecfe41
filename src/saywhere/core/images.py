"""Image files: which there are, what their headers say, and their pixels as RGB."""

from __future__ import annotations

import io
import os
import struct
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from saywhere.core.arrays import ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.errors import SaywhereError

IMAGE_SUFFIXES: Final = (
    ".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".jpe", ".jfif", ".jp2", ".mpo", ".gif", ".ppm", ".pgm",
    ".pnm", ".avif",
)  # fmt: skip
"""Suffixes of image files, in lower case; the commonest first."""
PILLOW_FORMATS: Final = ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF", "PPM", "JPEG2000", "AVIF")
"""The formats that Pillow may open. It knows others that run programs (EPS runs Ghostscript) or open further files."""
UNREADABLE: Final = (
    OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, OverflowError, MemoryError,
    struct.error, Image.DecompressionBombError,
)  # fmt: skip
"""What Pillow raises for files that are damaged or no images; KeyError where it was built without a format."""
ORIENTATION = 0x0112
SIDEWAYS = {5, 6, 7, 8}  # orientations whose width is the upright image's height
MAX_PIXELS = 178_956_970  # as Pillow draws the line: 12,000 x 9,000 passes, a decompression bomb does not


@dataclass(frozen=True, slots=True)
class ImageHeader:
    """What an image file says of itself before its pixels are read.

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


def read_header(path: Path) -> ImageHeader:
    """Size and orientation of an image file, without its pixels.

    Raises:
        SaywhereError: the file is missing or not an image.
    """
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            orientation = image.getexif().get(ORIENTATION, 1)
            width, height = image.size[::-1] if orientation in SIDEWAYS else image.size
            return ImageHeader(ImageSize(height, width), orientation != 1)
    except UNREADABLE as error:
        missing = "there is no such file" if not path.exists() else f"not an image, or cut short ({error})"
        raise SaywhereError(f"photograph '{path}': {missing}") from error


def image_size(path: Path) -> ImageSize:
    """Height and width of an image file as :func:`read_image` returns it, from the header alone.

    Raises:
        SaywhereError: the file is missing or not an image.
    """
    return read_header(path).size


def read_image(source: str | Path | Image.Image | NDArray[Any]) -> ImageArray:
    """Read an image as RGB, upright (EXIF orientation applied), transparency over white.

    Args:
        source: a path, a PIL image, or an array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` of uint8, uint16 or bool.

    Returns:
        ``(H, W, 3)`` uint8 RGB. It may be read-only. An array that can be changed is copied.

    Raises:
        SaywhereError: it is no image, damaged, empty or larger than :data:`MAX_PIXELS`.
    """
    if isinstance(source, np.ndarray):
        return _from_array(source)
    if isinstance(source, Image.Image):
        return _from_pil(source, "the PIL image")
    if not isinstance(source, (str, os.PathLike)):
        raise SaywhereError(f"a photograph of type {type(source).__name__}: give a path, a PIL image or an array")
    path = Path(source)
    try:
        content = path.read_bytes()
    # ValueError: a path with a NUL.
    except (OSError, ValueError) as error:
        raise SaywhereError(f"photograph '{path}': cannot be opened ({error})") from error
    return decode_image(content, f"photograph '{path}'")


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
    if not content:
        raise SaywhereError(f"{name}: the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content), formats=PILLOW_FORMATS) as image:
                return _from_pil(image, name)
    except Image.DecompressionBombError as error:
        raise SaywhereError(_too_large(name)) from error
    except SaywhereError:
        raise
    except UNREADABLE as error:
        raise SaywhereError(f"{name}: not an image, or cut short ({error})") from error


def _too_large(what: str) -> str:
    return f"{what}: more than {MAX_PIXELS:,} pixels, taken for a decompression bomb; make it smaller"


def _from_pil(image: Image.Image, what: str) -> ImageArray:
    if image.width * image.height > MAX_PIXELS:
        raise SaywhereError(_too_large(what))
    if image.width * image.height == 0:
        raise SaywhereError(f"{what}: has no pixels ({image.width}x{image.height})")
    if image.getexif().get(ORIENTATION, 1) != 1:
        image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_array(np.asarray(image))
    if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    # Neither convert nor array makes a copy that is not needed: 100 megapixels are 300 MB each time.
    return np.asarray(image if image.mode == "RGB" else image.convert("RGB"))


def _from_array(array: NDArray[Any]) -> ImageArray:
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise SaywhereError(f"an image array of shape {shape}: give (H, W), (H, W, 3) or (H, W, 4)")
    if 0 in shape:
        raise SaywhereError(f"an image array of shape {shape}: it has no pixels")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise SaywhereError(_too_large("the image array"))
    if shape[2:] == (3,) and array.dtype == np.uint8 and _is_constant(array):
        return array
    if array.dtype == np.bool_:
        array = array.astype(np.uint8) * 255
    elif (array.dtype in (np.uint16, np.int32, np.float32) and array.ndim == 2) or array.dtype == np.uint16:
        array = _to_eight_bits(array)
    elif array.dtype != np.uint8:
        raise SaywhereError(f"an image array of {array.dtype}: give uint8 (0 to 255) or uint16")
    if array.ndim == 2:
        array = array[:, :, None]
    if array.shape[2] == 4:
        alpha = array[:, :, 3:].astype(np.float32) / 255.0
        array = (array[:, :, :3] * alpha + 255.0 * (1.0 - alpha)).round().astype(np.uint8)
    return np.array(np.broadcast_to(array, (*array.shape[:2], 3)))


def _is_constant(array: NDArray[Any]) -> bool:
    """Whether nobody can change an array: neither itself nor the memory that it shows is writeable."""
    memory: Any = array
    while isinstance(memory, np.ndarray):
        if memory.flags.writeable:
            return False
        memory = memory.base
    return (memory is None or isinstance(memory, bytes)) and array.flags.c_contiguous


def _to_eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit and wider greys to 8 bits: by their full scale if they use it, else by their own range (scientific)."""
    values = np.nan_to_num(array.astype(np.float32))
    low, high = float(values.min()), float(values.max())
    if low >= 0.0 and 4096.0 < high <= 65535.0:
        low, high = 0.0, 65535.0
    return np.asarray((values - low) * (255.0 / max(high - low, 1.0)), np.uint8)
