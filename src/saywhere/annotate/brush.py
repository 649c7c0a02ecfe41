"""Brush strokes and other corrections: painting an object's pixels, or erasing them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.annotate.interactions import BrushStroke, Correction, PixelChange
from saywhere.annotate.region import EMPTY_REGION, Region
from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize

TILE: Final = 1024  # side of the part of an image that is drawn at once, in pixels
WIDE_STROKES: Final = ((1000.0, 4), (500.0, 2))  # from which radius on, and the pixels to a step of the distance
MAX_LAYER_BYTES: Final = 32 << 20


@dataclass(frozen=True)
class ChangedPixels:
    """Pixels that become the object's (``painted``), and pixels that are it no more (``erased``)."""

    painted: Region = EMPTY_REGION
    erased: Region = EMPTY_REGION

    def as_data(self, size: ImageSize) -> dict[str, str]:
        """What is stored with the event: both as COCO's run lengths, where they have pixels."""
        parts = {"painted": self.painted, "erased": self.erased}
        return {name: part.encode(size).decode("ascii") for name, part in parts.items() if part.mask.any()}


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

    def extended(self, stroke: Correction, size: ImageSize) -> StrokeLayer:
        """The layer with one more stroke or other correction, clipped to an image of ``size``."""
        change = changed_pixels(stroke, size)
        touched = self.touched.united(change.painted).united(change.erased)
        return StrokeLayer(touched, self.painted.without(change.erased).united(change.painted))

    def apply(self, region: Region) -> Region:
        """A region after the strokes."""
        return region.without(self.touched).united(self.painted)


class StrokeLayers:
    """Layers of the objects that were worked on last, so that further strokes are drawn on top of earlier ones.

    Any thread may use it.
    """

    def __init__(self, max_bytes: int = MAX_LAYER_BYTES) -> None:
        self._max_bytes, self._bytes = max_bytes, 0
        self._layers: OrderedDict[tuple[int, int], tuple[tuple[Correction, ...], StrokeLayer]] = OrderedDict()
        self._lock = threading.Lock()

    def layer(self, key: tuple[int, int], strokes: tuple[Correction, ...], size: ImageSize) -> StrokeLayer:
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


def apply_strokes(region: Region, strokes: Iterable[Correction], size: ImageSize) -> Region:
    """A region after strokes and other corrections, one after another, clipped to an image of ``size``."""
    for stroke in strokes:
        change = changed_pixels(stroke, size)
        region = region.without(change.erased).united(change.painted)
    return region


def changed_pixels(stroke: Correction, size: ImageSize) -> ChangedPixels:
    """What a stroke or another correction adds and takes away in an image of ``size``."""
    if isinstance(stroke, PixelChange):
        painted, erased = (
            Region.decode(counts.encode("ascii"), size) if counts else EMPTY_REGION
            for counts in (stroke.painted, stroke.erased)
        )
        return ChangedPixels(painted, erased)
    drawn = rasterise(stroke, size)
    return ChangedPixels(painted=drawn) if stroke.paint else ChangedPixels(erased=drawn)


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
