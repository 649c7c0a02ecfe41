"""Tokens of a vision transformer: computed once for an image, and sampled for each crop that a network encodes."""

from __future__ import annotations

from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize

PATCH = 14  # side of the transformer's patches, in pixels of what it sees
LONGER_SIDE = 28  # of the grid of tokens: the transformer sees an image at 392 pixels
STRIDE = 16  # pixels of a crop to a cell of the tokens that are sampled for it
MULTIPLE = 32  # of both sides of a crop, to which it is padded


def image_for_tokens(image: ImageArray) -> ImageArray:
    """What the transformer sees of an image: it is resized so that both sides are multiples of a patch.

    Args:
        image: ``(H, W, 3)`` RGB.

    Returns:
        ``(14 h, 14 w, 3)``, where the longer of h and w is 28.
    """
    height, width = image.shape[:2]
    scale = LONGER_SIDE / max(height, width)
    rows, columns = max(round(height * scale), 1), max(round(width * scale), 1)
    shrinks = rows * PATCH < height
    how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(image, (columns * PATCH, rows * PATCH), interpolation=how), np.uint8)


def tokens_in_crop(tokens: FloatArray, image_size: ImageSize, crop: Crop) -> FloatArray:
    """Sample tokens bilinearly at the cells of a crop.

    Args:
        tokens: ``(C, h, w)`` of the whole image.
        image_size: of the image.
        crop: is padded to the right and at the bottom to multiples of :data:`MULTIPLE`; there the last tokens go on.

    Returns:
        ``(C, H/16, W/16)`` of the padded crop.
    """
    rows, columns = token_places(tokens, image_size, crop)
    vertical, horizontal = _interpolation(rows, tokens.shape[1]), _interpolation(columns, tokens.shape[2])
    return np.ascontiguousarray(vertical @ tokens @ horizontal.T)


def token_places(tokens: FloatArray, image_size: ImageSize, crop: Crop) -> tuple[FloatArray, FloatArray]:
    """Find the cells of a crop in the grid of an image's tokens.

    Args:
        tokens: ``(C, h, w)`` of the whole image.
        image_size: of the image.
        crop: see :func:`tokens_in_crop`.

    Returns:
        Rows ``(H/16,)`` and columns ``(W/16,)`` of the padded crop's cells; 0 is the centre of the first token.
    """
    _, h, w = tokens.shape
    rows = _places(crop.height, crop.top, crop.bottom, h / image_size.height)
    return rows, _places(crop.width, crop.left, crop.right, w / image_size.width)


def tokens_at(tokens: NDArray[np.floating], xs: FloatArray, ys: FloatArray) -> FloatArray:
    """Sample tokens bilinearly anywhere.

    Args:
        tokens: ``(C, h, w)``.
        xs: ``(...)`` columns of the grid; 0 is the centre of the first token. Outside the grid the nearest one goes on.
        ys: ``(...)`` rows.

    Returns:
        ``(C, ...)``.
    """
    _, h, w = tokens.shape
    xs, ys = np.clip(xs, 0, w - 1), np.clip(ys, 0, h - 1)
    left, top = np.floor(xs).astype(int), np.floor(ys).astype(int)
    right, bottom = np.minimum(left + 1, w - 1), np.minimum(top + 1, h - 1)
    fx, fy = (xs - left).astype(np.float32), (ys - top).astype(np.float32)
    upper = tokens[:, top, left] * (1.0 - fx) + tokens[:, top, right] * fx
    lower = tokens[:, bottom, left] * (1.0 - fx) + tokens[:, bottom, right] * fx
    return cast(FloatArray, np.asarray(upper * (1.0 - fy) + lower * fy, np.float32))


def _places(length: int, start: int, end: int, density: float) -> FloatArray:
    """Where a crop's cells lie among the tokens along one axis.

    Args:
        length: of the crop, in its pixels.
        start: of the crop, in pixels of the image.
        end: the same.
        density: tokens for each pixel of the image.
    """
    cells = (length + -length % MULTIPLE) // STRIDE
    pixels = np.minimum((np.arange(cells) + 0.5) * STRIDE, length)
    return np.asarray((start + pixels * (end - start) / length) * density - 0.5, np.float32)


def _interpolation(places: FloatArray, count: int) -> FloatArray:
    """``(cells, count)``: the weights of ``count`` tokens along one axis for the cells at some places."""
    distance = np.abs(np.clip(places, 0, count - 1)[:, None] - np.arange(count))
    return np.asarray(np.maximum(1.0 - distance, 0.0), np.float32)
