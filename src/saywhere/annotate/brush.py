"""Pixels of an object as COCO run lengths and back, without ever going over the whole of a large photograph twice."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.annotate.events import Stroke
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths

Bool = NDArray[np.bool_]


@dataclass(frozen=True)
class Region:
    """Pixels ``inside`` (h, w) of a rectangle at ``left, top`` of a photograph; all others are outside the object."""

    left: int
    top: int
    inside: Bool

    @property
    def area(self) -> int:
        return int(np.count_nonzero(self.inside))

    def spread(self, photo: tuple[int, int]) -> Bool:
        """The whole photograph's pixels, (height, width)."""
        full = np.zeros(photo, np.bool_)
        h, w = self.inside.shape
        full[self.top : self.top + h, self.left : self.left + w] = self.inside
        return full


NOWHERE = Region(0, 0, np.zeros((0, 0), np.bool_))


def pack(region: Region, photo: tuple[int, int]) -> bytes:
    """COCO's compressed run lengths of a region of a photograph of (height, width)."""
    height, width = photo
    inside = region.inside
    if inside.shape[0] < height:
        # A run that ends at the rectangle's last row must end there in the photograph too.
        inside = np.pad(inside, ((0, 1), (0, 0)))
    rows = inside.shape[0]
    flat = np.ravel(inside, order="F").astype(np.int8)
    turns = np.flatnonzero(np.diff(flat, prepend=0, append=0))
    column, row = np.divmod(turns, max(rows, 1))
    at = (region.left + column) * height + region.top + row
    counts = np.diff(at, prepend=0, append=height * width).tolist()
    if counts[-1] == 0:
        counts.pop()
    return RunLengths.from_lengths(counts, ImageSize(height, width)).counts


def unpack(counts: bytes, photo: tuple[int, int]) -> Region:
    """The region that :func:`pack` packed, as small as it can be."""
    region = RunLengths(photo[0], photo[1], counts)
    return Region(*region.cropped()) if region.area else NOWHERE


def brushed(region: Region, strokes: Iterable[Stroke], photo: tuple[int, int]) -> Region:
    """A region after brush strokes, one after another, kept inside a photograph of (height, width)."""
    for stroke in strokes:
        region = _brushed(region, stroke, photo)
    return region


def _brushed(region: Region, stroke: Stroke, photo: tuple[int, int]) -> Region:
    touched = drawn(stroke)
    h, w = touched.inside.shape
    left, top = max(touched.left, 0), max(touched.top, 0)
    right, bottom = min(touched.left + w, photo[1]), min(touched.top + h, photo[0])
    if right <= left or bottom <= top:
        return region
    if stroke.paint:
        region = widened(region, (left, top, right, bottom))
    # The rectangle that both share: nothing is erased outside the region.
    left, top = max(left, region.left), max(top, region.top)
    right = min(right, region.left + region.inside.shape[1])
    bottom = min(bottom, region.top + region.inside.shape[0])
    if right <= left or bottom <= top:
        return region
    inside = region.inside.copy()
    part = touched.inside[top - touched.top : bottom - touched.top, left - touched.left : right - touched.left]
    inside[top - region.top : bottom - region.top, left - region.left : right - region.left][part] = stroke.paint
    return Region(region.left, region.top, inside)


def drawn(stroke: Stroke) -> Region:
    """The pixels within a stroke's radius of its line; may reach over the photograph's edges."""
    points = np.round(np.asarray(stroke.points, np.float64)).astype(np.int32)
    reach = int(stroke.radius) + 1
    (left, top), (right, bottom) = points.min(axis=0) - reach, points.max(axis=0) + reach
    canvas = np.full((bottom - top + 1, right - left + 1), 255, np.uint8)
    # A line of no length draws nothing: a dab goes there and back.
    way = np.vstack([points, points[::-1]]) - (left, top)
    cv2.polylines(canvas, [way.reshape(-1, 1, 2)], False, 0)
    far = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return Region(int(left), int(top), np.asarray(far <= stroke.radius, np.bool_))


def widened(region: Region, box: tuple[int, int, int, int]) -> Region:
    """The same region in a rectangle that also holds a box (left, top, right, bottom)."""
    h, w = region.inside.shape
    if h == 0 or w == 0:
        left, top, right, bottom = box
        return Region(left, top, np.zeros((bottom - top, right - left), np.bool_))
    left, top = min(region.left, box[0]), min(region.top, box[1])
    right, bottom = max(region.left + w, box[2]), max(region.top + h, box[3])
    inside = np.zeros((bottom - top, right - left), np.bool_)
    inside[region.top - top : region.top - top + h, region.left - left : region.left - left + w] = region.inside
    return Region(left, top, inside)
