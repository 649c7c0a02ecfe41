"""Masks to polygons and back.

A polygon here is one closed ring, as in YOLO and LabelMe: it has no holes and is of one piece. Holes and further pieces
are joined to it by cuts without width, which are walked in both directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize, bounding_box
from saywhere.core.rle import RunLengths

Ring = NDArray[np.float64]
"""``(N, 2)`` vertices x, y in pixels; the last is joined to the first."""
MAX_PIECES = 100  # of an object, which are joined one after another
SINGLE_TREE = 4  # FLANN's name for its exact k-d tree


class NearestPoint:
    """Finds the nearest of the points of a ring, with OpenCV's FLANN: exact, and without SciPy's 140 MB."""

    def __init__(self, ring: Ring) -> None:
        # OpenCV's stubs lack it.
        self._index = cv2.flann_Index(ring.astype(np.float32), {"algorithm": SINGLE_TREE})  # type: ignore[attr-defined]

    def query(self, points: Ring) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """The squared distance from each of ``(N, 2)`` points to the nearest of the ring, and that one's number."""
        numbers, squared = self._index.knnSearch(points.astype(np.float32), 1, params={})
        return squared[:, 0], numbers[:, 0]


def polygons_through_pixel_centres(mask: BoolArray, tolerance: float = 0.0) -> list[Ring]:
    """A polygon for each piece of a ``(H, W)`` mask, through the centres of its border pixels.

    Programs that fill polygons and also draw their outline (OpenCV, Pillow) make the mask of it again.

    Args:
        mask: the mask.
        tolerance: how far a simplified outline may be from the true one, in pixels; 0 keeps it.
    """
    contours, levels = cv2.findContours(mask.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    if levels is None:
        return []
    rings = [_simplified(np.asarray(contour), tolerance)[:, 0].astype(np.float64) for contour in contours]
    parents = np.asarray(levels).reshape(-1, 4)[:, 3]
    pieces = []
    for number in np.flatnonzero(parents < 0):
        # What is simplified to a line, or less, has no area.
        holes = [rings[hole] for hole in np.flatnonzero(parents == number) if len(rings[hole]) > 2 or not tolerance]
        pieces.append(_at_least_three(remove_collinear(join_rings(rings[number], holes))))
    return pieces


def _simplified(contour: NDArray[Any], tolerance: float) -> NDArray[Any]:
    """A contour of OpenCV with fewer vertices (Douglas-Peucker); as it is where nothing is left of it."""
    if not tolerance:
        return contour
    fewer = np.asarray(cv2.approxPolyDP(contour, tolerance, closed=True))
    return fewer if len(fewer) else contour


def polygons_along_pixel_edges(mask: BoolArray, tolerance: float = 0.0) -> list[Ring]:
    """A polygon for each piece of a ``(H, W)`` mask, a quarter of a pixel within the outer edges of its border pixels.

    pycocotools makes the mask of it again. ``tolerance`` as for :func:`polygons_through_pixel_centres`.
    """
    if (box := bounding_box(mask)) is None:
        return []
    left, top, right, bottom = map(int, box)
    cropped = mask[top:bottom, left:right]
    doubled = np.repeat(np.repeat(cropped, 2, axis=0), 2, axis=1)
    return [(ring + 0.5) / 2.0 + (left, top) for ring in polygons_through_pixel_centres(doubled, 2.0 * tolerance)]


def join_pieces(pieces: Sequence[Ring]) -> Ring:
    """The polygons of all pieces as one.

    Each in turn that is nearest to those already joined is joined by the shortest cut. Beyond the :data:`MAX_PIECES`
    longest, all are joined to these at once.
    """
    first, *others = sorted(pieces, key=len, reverse=True)
    near, small = others[: MAX_PIECES - 1], others[MAX_PIECES - 1 :]
    ring, newest = first, first
    gaps = np.full(len(near), np.inf)
    while near:
        tree = NearestPoint(newest)
        gaps = np.minimum(gaps, [tree.query(piece)[0].min() for piece in near])
        chosen = int(gaps.argmin())
        newest, gaps = near.pop(chosen), np.delete(gaps, chosen)
        ring = join_rings(ring, [newest])
    return remove_collinear(join_rings(ring, small))


def join_rings(ring: Ring, others: Sequence[Ring]) -> Ring:
    """One ring of several: each of the others is entered and left where it is nearest to the first."""
    if not others:
        return ring
    tree = NearestPoint(ring)
    entries = []
    for other in others:
        distances, nearest = tree.query(other)
        j = int(distances.argmin())
        i = int(nearest[j])
        entries.append((i, np.concatenate([np.roll(other, -j, axis=0), other[j : j + 1], ring[i : i + 1]])))
    parts, last = [], 0
    for i, detour in sorted(entries, key=lambda entry: entry[0]):
        parts += [ring[last : i + 1], detour]
        last = i + 1
    return np.concatenate([*parts, ring[last:]])


def remove_collinear(ring: Ring) -> Ring:
    """A ring of neighbouring pixels without those on a straight line between their neighbours."""
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    kept = (before != after).any(axis=1)
    return ring[kept] if kept.any() else ring


def _at_least_three(ring: Ring) -> Ring:
    """Three vertices also for a single pixel or a line, as formats ask for."""
    return ring if len(ring) >= 3 else np.concatenate([ring, ring, ring])[:3]


def fill_polygons(polygons: Sequence[Ring], size: ImageSize) -> BoolArray:
    """Polygons to a ``(H, W)`` mask, as Ultralytics fills them: vertices rounded down, outline included."""
    mask = np.zeros(size, np.uint8)
    for polygon in polygons:
        cv2.fillPoly(mask, [np.floor(polygon).astype(np.int32)], 1)
    return mask > 0


def filled_region(polygon: Ring, size: ImageSize) -> RunLengths:
    """The pixels of a polygon within an image, as :func:`fill_polygons` fills it.

    Memory is that of the box around it.
    """
    left, top = np.floor(polygon.min(axis=0)).astype(int).tolist()
    right, bottom = np.floor(polygon.max(axis=0)).astype(int).tolist()
    part = fill_polygons([polygon - (left, top)], ImageSize(bottom - top + 1, right - left + 1))
    return RunLengths.from_part(part, left, top, size)


def draw_shape(kind: str, points: Ring, size: ImageSize) -> BoolArray:
    """A LabelMe shape to a ``(H, W)`` mask, as LabelMe draws it (labelme.utils.shape_to_mask).

    Args:
        kind: "rectangle", "circle", or a kind that is a polygon.
        points: two corners (or four), the centre and a point of the circle, or the vertices.
        size: the size of the mask.
    """
    return np.asarray(_draw(kind, points, size)) > 0


def _draw(kind: str, points: Ring, size: ImageSize) -> Image.Image:
    image = Image.new("L", (size.width, size.height))
    draw = ImageDraw.Draw(image)
    if kind in ("rectangle", "circle"):
        corners = _extent(kind, points).ravel().tolist()
        (draw.rectangle if kind == "rectangle" else draw.ellipse)(corners, outline=1, fill=1)
    else:
        draw.polygon([(float(x), float(y)) for x, y in points], outline=1, fill=1)
    return image


def shape_region(kind: str, points: Ring, size: ImageSize) -> RunLengths:
    """The pixels of a LabelMe shape within an image; see :func:`draw_shape`.

    Memory is that of the image up to the shape's last row and column.
    """
    low, high = _extent(kind, points)
    limit = np.array([size.width, size.height])
    first = np.clip(np.floor(low), 0, limit).astype(int)
    last = np.clip(np.floor(high) + 2, first, limit).astype(int)
    (left, top), (right, bottom) = first.tolist(), last.tolist()
    if left == right or top == bottom:
        return RunLengths.from_lengths([size.height * size.width], size)
    # Not moved to the origin: Pillow would round some vertices the other way.
    drawn = _draw(kind, points, ImageSize(bottom, right)).crop((left, top, right, bottom))
    return RunLengths.from_part(np.asarray(drawn) > 0, left, top, size)


def drawing_steps(points: Ring, size: ImageSize) -> int:
    """How many steps drawing a polygon takes: Pillow goes through all its edges for each row."""
    rows = min(float(np.ptp(points[:, 1])), float(size.height)) + 1.0
    return int(rows * len(points))


def _extent(kind: str, points: Ring) -> Ring:
    """The two corners, x and y, of the box around a shape."""
    if kind != "circle":
        return np.stack([points.min(axis=0), points.max(axis=0)])
    radius = float(np.hypot(*(points[1] - points[0])))
    return np.stack([points[0] - radius, points[0] + radius])
