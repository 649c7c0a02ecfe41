"""Photographs in: any common file, PIL image or array to RGB, with clear words for what cannot be read."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from saywhere.core.arrays import ImageArray
from saywhere.errors import SaywhereError

ORIENTATION = 0x0112
SIDEWAYS = {5, 6, 7, 8}  # orientations whose width is the upright photograph's height
ENDINGS = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff"})  # of photographs in a folder
MOST_PIXELS = 178_956_970  # as Pillow draws the line: 12,000 x 9,000 passes, a decompression bomb does not


def read_image(source: str | Path | Image.Image | NDArray[Any]) -> ImageArray:
    """A photograph as ``(H, W, 3)`` uint8 RGB, upright (EXIF orientation applied), transparency over white.

    ``source`` is a path, a PIL image, or an array ``(H, W)``, ``(H, W, 3)`` or ``(H, W, 4)`` of uint8, uint16,
    or bool. Raises SaywhereError when it is not one, is damaged, empty or larger than :data:`MOST_PIXELS`.
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
    except OSError as error:
        raise SaywhereError(f"photograph '{path}': cannot be opened ({error.strerror or error})") from error
    if not content:
        raise SaywhereError(f"photograph '{path}': the file is empty")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(content)) as image:
                return _from_pil(image, f"photograph '{path}'")
    except Image.DecompressionBombError as error:
        raise SaywhereError(_too_large(f"photograph '{path}'")) from error
    except SaywhereError:
        raise
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, MemoryError) as error:
        raise SaywhereError(f"photograph '{path}': not an image, or cut short ({error})") from error


def image_size(path: Path) -> tuple[int, int]:
    """Width and height of the photograph as :func:`read_image` gives it, from the file's header alone.

    Raises SaywhereError when the file is missing or not an image.
    """
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(ORIENTATION, 1) in SIDEWAYS
            return (image.height, image.width) if turned else (image.width, image.height)
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        missing = "there is no such file" if not path.exists() else f"not an image, or cut short ({error})"
        raise SaywhereError(f"photograph '{path}': {missing}") from error


def is_turned(path: Path) -> bool:
    """Whether a photograph is stored another way than upright, so that who ignores its EXIF data sees it askew."""
    with Image.open(path) as image:
        return image.getexif().get(ORIENTATION, 1) != 1


def _too_large(what: str) -> str:
    return f"{what}: more than {MOST_PIXELS:,} pixels, taken for a decompression bomb; make it smaller"


def _from_pil(image: Image.Image, what: str) -> ImageArray:
    if image.width * image.height > MOST_PIXELS:
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
    if shape[0] * shape[1] > MOST_PIXELS:
        raise SaywhereError(_too_large("the image array"))
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
    if array.shape[2] == 3 and not array.flags.writeable:
        return array  # nobody can change it, so it needs no copy
    return np.array(np.broadcast_to(array, (*array.shape[:2], 3)))


def _to_eight_bits(array: NDArray[Any]) -> NDArray[np.uint8]:
    """16-bit and wider greys to 8 bits: by their full scale if they use it, else by their own range (scientific)."""
    values = np.nan_to_num(array.astype(np.float32))
    low, high = float(values.min()), float(values.max())
    if low >= 0.0 and 4096.0 < high <= 65535.0:
        low, high = 0.0, 65535.0
    return np.asarray((values - low) * (255.0 / max(high - low, 1.0)), np.uint8)
