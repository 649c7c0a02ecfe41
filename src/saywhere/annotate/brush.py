"""Brush strokes: painting an object's pixels, or erasing them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.annotate.events import BrushStroke
from saywhere.annotate.region import EMPTY_REGION, Region
from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize

TILE: Final = 1024  # side of the part of an image that is drawn at once, in pixels
WIDE_STROKES: Final = ((1000.0, 4), (500.0, 2))  # from which radius on, and the pixels to a step of the distance
MAX_LAYER_BYTES: Final = 32 << 20


@dataclass(frozen=True)
class StrokeLayer:
    """What an object's strokes do to any mask of it, however many they are.

    Args:
        touched: the pixels that any stroke covers.
        painted: those of them whose last stroke paints; the others are erased.
    """

    touched: Region = EMPTY_REGION
    painted: Region = EMPTY_REGION

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return self.touched.mask.nbytes + self.painted.mask.nbytes

    def extended(self, stroke: BrushStroke, size: ImageSize) -> StrokeLayer:
        """The layer with one more stroke, clipped to an image of ``size``."""
        drawn = rasterise(stroke, size)
        return StrokeLayer(_painted(self.touched, drawn), _changed(self.painted, drawn, stroke.paint))

    def apply(self, region: Region) -> Region:
        """A region after the strokes."""
        return _painted(_erased(region, self.touched), self.painted)


class StrokeLayers:
    """Layers of the objects that were worked on last, so that further strokes are drawn on top of earlier ones.

    Any thread may use it.
    """

    def __init__(self, max_bytes: int = MAX_LAYER_BYTES) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._layers: OrderedDict[tuple[int, int], tuple[tuple[BrushStroke, ...], StrokeLayer]] = OrderedDict()
        self._lock = threading.Lock()

    def layer(self, key: tuple[int, int], strokes: tuple[BrushStroke, ...], size: ImageSize) -> StrokeLayer:
        """The layer of an object's strokes.

        Args:
            key: the image's and the object's number.
            strokes: in order.
            size: of the image.
        """
        if not strokes:
            return StrokeLayer()
        with self._lock:
            past, layer = self._layers.get(key, ((), StrokeLayer()))
        if strokes[: len(past)] != past:
            past, layer = (), StrokeLayer()
        for stroke in strokes[len(past) :]:
            layer = layer.extended(stroke, size)
        with self._lock:
            if key in self._layers:
                self._bytes -= self._layers.pop(key)[1].bytes
            self._layers[key] = strokes, layer
            self._bytes += layer.bytes
            while self._bytes > self._max_bytes and len(self._layers) > 1:
                self._bytes -= self._layers.popitem(last=False)[1][1].bytes
        return layer


def apply_strokes(region: Region, strokes: Iterable[BrushStroke], size: ImageSize) -> Region:
    """A region after brush strokes, one after another, clipped to an image of ``size``."""
    for stroke in strokes:
        region = _changed(region, rasterise(stroke, size), stroke.paint)
    return region


def _changed(region: Region, drawn: Region, paint: bool) -> Region:
    return _painted(region, drawn) if paint else _erased(region, drawn)


def _painted(region: Region, drawn: Region) -> Region:
    """A region with all pixels of another one."""
    if drawn.mask.size == 0:
        return region
    larger = region.expanded((drawn.left, drawn.top, drawn.right, drawn.bottom))
    mask = larger.mask if larger.mask is not region.mask else larger.mask.copy()
    top, left = drawn.top - larger.top, drawn.left - larger.left
    mask[top : top + drawn.mask.shape[0], left : left + drawn.mask.shape[1]] |= drawn.mask
    return Region(larger.left, larger.top, mask)


def _erased(region: Region, drawn: Region) -> Region:
    """A region without the pixels of another one."""
    left, top = max(drawn.left, region.left), max(drawn.top, region.top)
    right, bottom = min(drawn.right, region.right), min(drawn.bottom, region.bottom)
    if right <= left or bottom <= top:
        return region
    mask = region.mask.copy()
    touched = drawn.mask[top - drawn.top : bottom - drawn.top, left - drawn.left : right - drawn.left]
    mask[top - region.top : bottom - region.top, left - region.left : right - region.left][touched] = False
    return Region(region.left, region.top, mask)


def rasterise(stroke: BrushStroke, size: ImageSize) -> Region:
    """The pixels of an image within a stroke's radius of its line.

    The line may leave the image. It is drawn tile by tile, so that the memory is bounded for an image of any size.
    """
    points = np.round(np.asarray(stroke.points, np.float64)).astype(np.int32)
    reach = int(stroke.radius) + 1
    left, top = (max(int(edge), 0) for edge in points.min(axis=0) - reach)
    right, bottom = (min(int(edge) + 1, end) for edge, end in zip(points.max(axis=0) + reach, size[::-1], strict=True))
    if right <= left or bottom <= top:
        return EMPTY_REGION
    mask = np.zeros((bottom - top, right - left), np.bool_)
    side = max(TILE, 2 * reach)  # of a wide stroke's tile at least a quarter is used
    for y in range(top, bottom, side):
        for x in range(left, right, side):
            part = mask[y - top : y - top + side, x - left : x - left + side]
            _draw_tile(part, points - (x, y), stroke.radius)
    return Region(left, top, mask)


def _draw_tile(tile: BoolArray, points: NDArray[np.int32], radius: float) -> None:
    """Set a tile's pixels within ``radius`` of a line through ``points``, in pixels of the tile.

    The distance of a wide stroke is computed at a lower resolution: its edge moves by at most 2 thousandths of the
    radius.
    """
    step = next((step for least, step in WIDE_STROKES if radius >= least), 1)
    border = -(-(int(radius) + 1) // step)  # in steps
    height, width = (-(-extent // step) for extent in tile.shape)
    canvas = np.full((height + 2 * border, width + 2 * border), 255, np.uint8)
    line = points // step + border
    cv2.polylines(canvas, [line.reshape(-1, 1, 2)], False, 0)
    # OpenCV draws nothing for a line of length zero.
    inside = line[((line >= 0) & (line < canvas.shape[::-1])).all(axis=1)]
    canvas[inside[:, 1], inside[:, 0]] = 0
    if cv2.countNonZero(canvas) == canvas.size:
        return
    distance = cv2.distanceTransform(canvas, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    distance = distance[border : border + height, border : border + width]
    if step > 1:
        distance = cv2.resize(distance, (width * step, height * step), interpolation=cv2.INTER_LINEAR) * step
    np.less_equal(distance[: tile.shape[0], : tile.shape[1]], radius, out=tile)
