"""Brush strokes: painting an object's pixels, or erasing them."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from saywhere.annotate.events import BrushStroke
from saywhere.annotate.region import Region
from saywhere.core.geometry import ImageSize


def apply_strokes(region: Region, strokes: Iterable[BrushStroke], size: ImageSize) -> Region:
    """A region after brush strokes, one after another, clipped to an image of ``size``."""
    for stroke in strokes:
        region = _apply_stroke(region, stroke, size)
    return region


def _apply_stroke(region: Region, stroke: BrushStroke, size: ImageSize) -> Region:
    drawn = rasterise(stroke)
    left, top = max(drawn.left, 0), max(drawn.top, 0)
    right, bottom = min(drawn.right, size.width), min(drawn.bottom, size.height)
    if right <= left or bottom <= top:
        return region
    if stroke.paint:
        region = region.expanded((left, top, right, bottom))
    # The rectangle that both share: nothing is erased outside the region.
    left, top = max(left, region.left), max(top, region.top)
    right, bottom = min(right, region.right), min(bottom, region.bottom)
    if right <= left or bottom <= top:
        return region
    mask = region.mask.copy()
    touched = drawn.mask[top - drawn.top : bottom - drawn.top, left - drawn.left : right - drawn.left]
    mask[top - region.top : bottom - region.top, left - region.left : right - region.left][touched] = stroke.paint
    return Region(region.left, region.top, mask)


def rasterise(stroke: BrushStroke) -> Region:
    """The pixels within a stroke's radius of its line; may reach over the image's edges."""
    points = np.round(np.asarray(stroke.points, np.float64)).astype(np.int32)
    reach = int(stroke.radius) + 1
    (left, top), (right, bottom) = points.min(axis=0) - reach, points.max(axis=0) + reach
    canvas = np.full((bottom - top + 1, right - left + 1), 255, np.uint8)
    # OpenCV draws nothing for a line of length zero, so the line goes there and back.
    line = np.vstack([points, points[::-1]]) - (left, top)
    cv2.polylines(canvas, [line.reshape(-1, 1, 2)], False, 0)
    distance = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return Region(int(left), int(top), np.asarray(distance <= stroke.radius, np.bool_))
