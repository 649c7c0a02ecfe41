"""Masks in colour: maps of classes and of objects whose numbers are colours, as CVAT and Datumaro write VOC's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saywhere.core.images import PILLOW_FORMATS, UNREADABLE
from saywhere.data.formats.index_masks import IndexMap, voc_palette
from saywhere.errors import SaywhereError

ROWS = 256  # read at a time
MAX_COLOURS = 65_535 - 256
Colour = tuple[int, int, int]


def is_coloured(path: Path) -> bool:
    """Whether the pixels of a mask image are colours; those of a palette are numbers.

    Raises:
        SaywhereError: it is no image.
    """
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            return image.mode not in ("1", "L", "P", "I;16", "I", "F")
    except UNREADABLE as error:
        raise SaywhereError(f"mask '{path}': missing or not an image ({error})") from error


def read_palette(path: Path, numbers: Mapping[Colour, int]) -> NDArray[np.uint8] | None:
    """A mask image with a palette, as the numbers of its colours.

    Args:
        path: the image.
        numbers: the number of each colour, 255 at most.

    Returns:
        ``(H, W)`` numbers; None when it has no palette, or a colour without a number.

    Raises:
        SaywhereError: it is no image.
    """
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            if image.mode != "P":
                return None
            values = np.asarray(image)
            palette = image.getpalette("RGB") or []
            used = [index for index, count in enumerate(image.histogram()[:256]) if count]
    except UNREADABLE as error:
        raise SaywhereError(f"mask '{path}': missing or not an image ({error})") from error
    colours = list(zip(palette[0::3], palette[1::3], palette[2::3], strict=True))
    table = np.zeros(256, np.uint8)
    for index in used:
        number = numbers.get(colours[index]) if index < len(colours) else None
        if number is None:
            return None
        table[index] = number
    return np.asarray(table[values])


def read_colours(path: Path, numbers: Mapping[Colour, int] | None = None) -> tuple[IndexMap, dict[int, Colour]]:
    """A mask image in colour, or with a palette, as numbers.

    Args:
        path: the image.
        numbers: the number of each colour; others get numbers from 256. By default those of VOC's palette.

    Returns:
        ``(H, W)`` numbers, and the colours of those from 256.

    Raises:
        SaywhereError: it is no image, or has so many colours that it is no mask.
    """
    if numbers is None:
        numbers = {(r, g, b): number for number, (r, g, b) in enumerate(voc_palette().tolist())}
    # By the 24 bits of a colour: its number, 0 where it has none yet.
    table = np.zeros(1 << 24, np.uint16)
    known = np.zeros(1 << 24, np.bool_)
    for (r, g, b), number in numbers.items():
        code = r << 16 | g << 8 | b
        table[code], known[code] = number, True
    others: dict[int, Colour] = {}
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            indices = np.zeros((image.height, image.width), np.uint16)
            for top in range(0, image.height, ROWS):
                part = image.crop((0, top, image.width, min(top + ROWS, image.height))).convert("RGB")
                channels = np.asarray(part).astype(np.int32)
                codes = channels[:, :, 0] << 16 | channels[:, :, 1] << 8 | channels[:, :, 2]
                for code in np.unique(codes[~known[codes]]).tolist():
                    if len(others) == MAX_COLOURS:
                        raise SaywhereError(f"mask '{path}': more than {MAX_COLOURS:,} colours; it is no mask")
                    table[code], known[code] = 256 + len(others), True
                    others[256 + len(others)] = code >> 16, code >> 8 & 255, code & 255
                indices[top : top + ROWS] = table[codes]
    except SaywhereError:
        raise
    except UNREADABLE as error:
        raise SaywhereError(f"mask '{path}': missing or not an image ({error})") from error
    return indices, others
