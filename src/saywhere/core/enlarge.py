"""Thresholding a map at a larger size, without holding the enlarged values."""

from __future__ import annotations

import cv2
import numpy as np

from saywhere.core.arrays import BoolArray, FloatArray


def enlarged_above(values: FloatArray, width: int, height: int, limit: float) -> BoolArray:
    """Where ``cv2.resize(values, (width, height))``, bilinear, is above ``limit``.

    The values are enlarged a few rows at a time, and only where one of them is above the limit: of 24 megapixels all
    at once would be 96 MB, which takes longer than the network.

    Args:
        values: ``(h, w)`` float32.
        width: of the result, in pixels.
        height: of the result, in pixels.
        limit: a value.

    Returns:
        ``(height, width)`` bool.
    """
    result = np.zeros((height, width), np.bool_)
    rows = values.shape[0]
    wide = cv2.resize(values, (width, rows), interpolation=cv2.INTER_LINEAR)
    above = cv2.boundingRect((wide > limit).view(np.uint8))
    left, right = above[0], above[0] + above[2]
    wide = wide[:, left:right]
    highest = wide.max(axis=1, initial=-np.inf)
    # As OpenCV places them: the centres of pixels, clamped at the border.
    place = np.clip((np.arange(height) + 0.5) * (rows / height) - 0.5, 0, rows - 1)
    upper = np.minimum(place.astype(np.int64), max(rows - 2, 0))
    weight = (place - upper).astype(np.float32)[:, None]
    starts = np.searchsorted(upper, np.arange(rows + 1))
    for row in range(rows):
        first, last, below = int(starts[row]), int(starts[row + 1]), min(row + 1, rows - 1)
        if first == last or max(highest[row], highest[below]) <= limit:
            continue
        part = (1 - weight[first:last]) * wide[row]
        part += weight[first:last] * wide[below]
        np.greater(part, limit, out=result[first:last, left:right])
    return result
