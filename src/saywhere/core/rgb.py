"""The pixels of images in any mode, orientation and number of bits as upright 8-bit RGB."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saywhere.core.arrays import ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.grey_levels import ValueRange, value_range
from saywhere.errors import SaywhereError

ORIENTATION = 0x0112
SIDEWAYS = {5, 6, 7, 8}  # orientations whose width is the upright image's height
TIFF_WIDTH, TIFF_HEIGHT, TIFF_NODATA = 256, 257, 42113
MAX_PIXELS = 178_956_970  # from which on Pillow raises DecompressionBombError
BAND_PIXELS = 1 << 22  # pixels that are converted at once, so that large images are not in memory several times


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1 to 8; 1 for anything else."""
    value = image.getexif().get(ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def stored_size(image: Image.Image) -> tuple[int, int]:
    """Width and height as they are stored: of a TIFF, Pillow's ``size`` may be that of the upright image already."""
    tags = getattr(image, "tag_v2", None)
    if tags is not None and TIFF_WIDTH in tags and TIFF_HEIGHT in tags:
        return int(tags[TIFF_WIDTH]), int(tags[TIFF_HEIGHT])
    return image.size


def too_large(what: str) -> str:
    """The error for an image of more than :data:`MAX_PIXELS`."""
    return f"{what}: more than {MAX_PIXELS:,} pixels, taken for a decompression bomb; make it smaller"


def check_declared_size(image: Image.Image, name: str) -> None:
    """Check the size that a header declares, before memory is taken for it.

    Raises:
        SaywhereError: it is empty, too large, or more than the file holds.
    """
    pixels = image.width * image.height
    if pixels > MAX_PIXELS:
        raise SaywhereError(too_large(name))
    if pixels <= 0:
        raise SaywhereError(f"{name}: has no pixels ({image.width}x{image.height})")
    if image.format == "TIFF":
        # Pillow leaves black what no strip or tile covers, even if that is nearly all.
        parts = [extents for _, extents, *_ in getattr(image, "tile", ())]
        covered = sum((right - left) * (lower - upper) for left, upper, right, lower in parts)
        if parts and covered < pixels:  # there are none once the pixels were read
            raise SaywhereError(
                f"{name}: not an image, or cut short (it holds {covered:,} of the {pixels:,} pixels that it declares)"
            )


def rgb_from_pil(image: Image.Image, name: str) -> ImageArray:
    """The pixels of a PIL image; see :func:`saywhere.core.images.read_image`.

    Args:
        image: any; its pixels are read if they were not.
        name: what an error calls it.

    Raises:
        SaywhereError: it is empty or too large. What Pillow raises is not caught.
    """
    check_declared_size(image, name)
    image.load()
    orientation = orientation_of(image)  # after loading, which turns a TIFF upright
    if image.mode == "RGB" and orientation == 1 and "transparency" not in image.info and _is_one_band(image):
        return np.asarray(image)

    def band(rows: slice) -> NDArray[Any]:
        part = image.crop((0, rows.start, image.width, rows.stop))
        if part.mode.startswith("I") or part.mode == "F":
            return np.asarray(part)
        if part.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in part.info:
            return np.asarray(part.convert("RGBA"))
        return np.asarray(part if part.mode == "RGB" else part.convert("RGB"))

    size = ImageSize(image.height, image.width)
    return _from_bands(band, size, orientation, _declared_nodata(image))


def _is_one_band(image: Image.Image) -> bool:
    return image.width * image.height <= BAND_PIXELS


def _declared_nodata(image: Image.Image) -> float | None:
    """The value of pixels that hold no measurement, where a TIFF says it in GDAL's tag."""
    try:
        return float(getattr(image, "tag_v2", {})[TIFF_NODATA].strip("\0 "))
    except (KeyError, AttributeError, TypeError, ValueError):
        return None


def rgb_from_array(array: NDArray[Any]) -> ImageArray:
    """The pixels of an array; arguments and errors as for :func:`saywhere.core.images.read_image`."""
    shape = array.shape
    if array.ndim not in (2, 3) or (array.ndim == 3 and shape[2] not in (1, 3, 4)):
        raise SaywhereError(f"an image array of shape {shape}: give (H, W), (H, W, 3) or (H, W, 4)")
    if 0 in shape:
        raise SaywhereError(f"an image array of shape {shape}: it has no pixels")
    if shape[0] * shape[1] > MAX_PIXELS:
        raise SaywhereError(too_large("the image array"))
    if isinstance(array, np.ma.MaskedArray):
        raise SaywhereError("an image array with a mask: give its values without one, array.filled(0)")
    if shape[2:] == (3,) and array.dtype == np.uint8 and _is_constant(array):
        return array
    if shape[2:] == (1,):
        array = array[:, :, 0]
    is_known = array.dtype.kind in "biuf" if array.ndim == 2 else array.dtype.newbyteorder("=") in (np.uint8, np.uint16)
    if not is_known:
        raise SaywhereError(f"an image array of {array.dtype}: give uint8 (0 to 255) or uint16")
    return _from_bands(lambda rows: array[rows], ImageSize(*shape[:2]))


def _from_bands(
    band: Callable[[slice], NDArray[Any]], size: ImageSize, orientation: int = 1, nodata: float | None = None
) -> ImageArray:
    """RGB from bands of rows, which are converted one after another.

    Args:
        band: from rows to their values, ``(h, W)``, ``(h, W, 3)`` or ``(h, W, 4)``.
        size: of the stored image.
        orientation: how it is stored.
        nodata: a value of pixels that hold nothing.
    """
    height, width = size
    step = max(BAND_PIXELS // width, 1)
    bands = [slice(top, min(top + step, height)) for top in range(0, height, step)]
    shape = (width, height) if orientation in SIDEWAYS else (height, width)
    rgb = np.empty((*shape, 3), np.uint8)
    stored = _as_stored(rgb, orientation)
    dtype = band(slice(0, 1)).dtype
    shown = None
    if dtype.itemsize > 1:
        shown = value_range(lambda: (_colours(band(rows)) for rows in bands), dtype.kind in "iu", nodata)
    for rows in bands:
        values = band(rows)
        colours = _to_eight_bits(_colours(values), shown)
        if values.shape[2:] == (4,):
            colours = _over_white(colours, values[:, :, 3:] >> (8 * (dtype.itemsize - 1)))
        stored[rows] = colours
    rgb.flags.writeable = False
    return rgb


def _colours(values: NDArray[Any]) -> NDArray[Any]:
    """The channels of a band without opacity, ``(h, W, 1)`` or ``(h, W, 3)``."""
    return values[:, :, None] if values.ndim == 2 else values[:, :, :3]


def _to_eight_bits(values: NDArray[Any], shown: ValueRange | None) -> NDArray[np.uint8]:
    if shown is not None:
        return shown.apply(values)
    if values.dtype == np.bool_:
        return values.astype(np.uint8) * np.uint8(255)
    return np.asarray(values, np.uint8)


def _as_stored(upright: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """A view of an upright image in which its rows and columns are those of the stored image (EXIF 2.32, 4.6.4)."""
    view = upright.transpose(1, 0, 2) if orientation in SIDEWAYS else upright
    if orientation in (3, 4, 6, 7):
        view = view[::-1]
    if orientation in (2, 3, 7, 8):
        view = view[:, ::-1]
    return view


def _over_white(colours: NDArray[np.uint8], opacity: NDArray[Any]) -> NDArray[np.uint8]:
    alpha = opacity.astype(np.uint16)
    return np.asarray((colours * alpha + 255 * (255 - alpha) + 127) // 255, np.uint8)


def _is_constant(array: NDArray[Any]) -> bool:
    """Whether nobody can change an array: neither itself nor the memory that it shows is writeable."""
    memory: Any = array
    while isinstance(memory, np.ndarray):
        if memory.flags.writeable:
            return False
        memory = memory.base
    return (memory is None or isinstance(memory, bytes)) and array.flags.c_contiguous
