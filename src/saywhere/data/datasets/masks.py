"""Mask images, read when a sample is asked for its mask."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saywhere.core.arrays import BoolArray
from saywhere.core.images import PILLOW_FORMATS, UNREADABLE
from saywhere.errors import SaywhereError

Values = NDArray[np.uint8] | NDArray[np.uint16]


def read_brightness(path: Path) -> Values:
    """The brightest channel of each pixel, ``(H, W)``; palettes are looked up. SaywhereError when it is no image."""
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            if image.mode in ("1", "L"):
                return np.array(image.convert("L"))
            return np.asarray(image.convert("RGB")).max(axis=2)
    except UNREADABLE as error:
        raise SaywhereError(f"mask '{path}': missing or not an image ({error})") from error


def read_numbers(path: Path) -> Values:
    """The number of each pixel, ``(H, W)``: grey value or palette index. SaywhereError when the image is in colour."""
    try:
        with Image.open(path, formats=PILLOW_FORMATS) as image:
            if image.mode not in ("P", "L", "I;16"):
                raise SaywhereError(f"mask '{path}': {image.mode} image; expected a palette PNG of object numbers")
            return np.array(image)
    except SaywhereError:
        raise
    except UNREADABLE as error:
        raise SaywhereError(f"mask '{path}': missing or not an image ({error})") from error


def mask_above(path: Path, value: int) -> BoolArray:
    """Where a mask image is brighter than ``value``, as ``(H, W)``."""
    return np.asarray(read_brightness(path) > value)


def mask_equal_to(path: Path, value: int) -> BoolArray:
    """Where a mask image is exactly as bright as ``value``, as ``(H, W)``."""
    return np.asarray(read_brightness(path) == value)


def mask_with_number(path: Path, number: int) -> BoolArray:
    """Where a palette image has ``number``, as ``(H, W)``."""
    return np.asarray(read_numbers(path) == number)
