"""Closed lines along the edges of pixels, and the pixels that they enclose.

Vertices are x, y in pixels of the image, whose first pixel reaches from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.annotate.region import EMPTY_REGION, Region
from saywhere.core.geometry import ImageSize
from saywhere.errors import SaywhereError

Ring = NDArray[np.float64]
"""``(N, 2)`` vertices; the last is joined to the first."""
MAX_CROSSINGS = 4_000_000  # of the rows of an image by one ring


def fill_rings(rings: Sequence[Ring], size: ImageSize, overlapping: bool = False) -> Region:
    """The pixels of an image of ``size`` whose centres lie within rings.

    Args:
        rings: of one object, at least one: its pieces, and their holes.
        size: of the image.
        overlapping: whether a part that a ring goes around twice in one direction is inside (the nonzero rule), as in a
            line drawn by hand; else it is outside, like a hole (the even-odd rule).

    Raises:
        SaywhereError: a ring is too long.
    """
    crossings = [_crossings(ring, size.height) for ring in rings]
    rows, places, turns = (np.concatenate([one[part] for one in crossings]) for part in range(3))
    if not len(rows):
        return EMPTY_REGION
    order = np.lexsort((places, rows))
    rows, places, turns = rows[order], places[order], turns[order]
    # A closed line leaves each row as often as it enters it, so that the sum is 0 after the last crossing of a row.
    inside = np.cumsum(turns)[:-1] != 0 if overlapping else np.arange(1, len(rows)) % 2 == 1
    columns = np.clip(np.ceil(places - 0.5), 0, size.width).astype(np.int64)
    starts, ends, at = columns[:-1][inside], columns[1:][inside], rows[:-1][inside]
    kept = ends > starts
    starts, ends, at = starts[kept], ends[kept], at[kept]
    if not len(starts):
        return EMPTY_REGION
    left, top = int(starts.min()), int(at.min())
    changes = np.zeros((int(at.max()) - top + 1, int(ends.max()) - left + 1), np.int8)
    np.add.at(changes, (at - top, starts - left), 1)
    np.add.at(changes, (at - top, ends - left), -1)
    return Region(left, top, np.cumsum(changes, axis=1, dtype=np.int8)[:, :-1] > 0)


def _crossings(ring: Ring, height: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Where a ring crosses the centres of rows: the row, x, and the direction, 1 down and -1 up."""
    x0, y0 = ring.T
    x1, y1 = np.roll(ring, -1, axis=0).T
    # A row belongs to an edge from its upper end to before its lower one, so that a vertex counts once.
    upper, lower = np.minimum(y0, y1), np.maximum(y0, y1)
    first = np.clip(np.ceil(upper - 0.5), 0, height).astype(np.int64)
    count = np.clip(np.ceil(lower - 0.5), 0, height).astype(np.int64) - first
    if count.sum() > MAX_CROSSINGS:
        raise SaywhereError(f"line: crosses more than {MAX_CROSSINGS:,} rows of pixels; give a shorter one")
    edge = np.repeat(np.arange(len(ring)), count)
    rows = np.arange(len(edge)) - np.repeat(np.cumsum(count) - count, count) + first[edge]
    share = (rows + 0.5 - y0[edge]) / (y1 - y0)[edge]
    return rows, x0[edge] + share * (x1 - x0)[edge], np.where(y1 > y0, 1, -1)[edge]


def outline_rings(region: Region, tolerance: float = 0.0) -> list[Ring]:
    """The rings along the edges of a region's pixels, holes too; :func:`fill_rings` gives the region again.

    Args:
        region: pixels of an object.
        tolerance: how far, in pixels, a simplified ring may be from the edges (Douglas and Peucker); 0 keeps every
            corner.

    Returns:
        Rings, longest first. Of a ring that would vanish, three corners or more stay.
    """
    if region.mask.size == 0:
        return []
    doubled = np.repeat(np.repeat(region.mask.view(np.uint8), 2, axis=0), 2, axis=1)
    contours, _ = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = []
    for contour in contours:
        # A pixel of the doubled mask is a quarter of a pixel within the edge.
        edges = np.rint((contour[:, 0].astype(np.float64) + 0.5) / 2.0)
        ring = _corners(edges)
        if tolerance > 0:
            simple = cv2.approxPolyDP(ring.astype(np.float32).reshape(-1, 1, 2), tolerance, True)[:, 0]
            ring = simple.astype(np.float64) if len(simple) >= 3 else ring
        rings.append(ring + np.array([region.left, region.top]))
    return sorted(rings, key=len, reverse=True)


def _corners(ring: Ring) -> Ring:
    """A ring without repeated vertices and those on a straight line between their neighbours."""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = (np.sign(before) != np.sign(after)).any(axis=1)
    return ring[turns]
