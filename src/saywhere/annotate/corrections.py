"""Corrections of an object's mask other than strokes: what each adds and takes away, computed from exact geometry."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from saywhere.annotate.actions import CorrectionAction, CrumbsAction, HolesAction, LassoAction, PolygonAction
from saywhere.annotate.brush import ChangedPixels
from saywhere.annotate.region import Region
from saywhere.annotate.rings import Ring, fill_rings
from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.errors import SaywhereError


def correct(action: CorrectionAction, region: Region, size: ImageSize) -> ChangedPixels:
    """What an action does to an object's pixels in an image of ``size``; SaywhereError where it does nothing."""
    if isinstance(action, LassoAction):
        drawn = fill_rings([_ring(action.points)], size, overlapping=True)
        if not drawn.mask.size:
            raise SaywhereError("lasso: no pixel of the image is within the line; go around one")
        return ChangedPixels(painted=drawn) if action.paint else ChangedPixels(erased=drawn)
    if isinstance(action, HolesAction):
        return ChangedPixels(painted=_holes(region, action))
    assert isinstance(action, CrumbsAction), "the last of the corrections"
    return ChangedPixels(erased=_crumbs(region, action))


def polygon_region(action: PolygonAction, size: ImageSize) -> Region:
    """The pixels of an object that is drawn as polygons; SaywhereError where there are none."""
    drawn = fill_rings([_ring(points) for points in action.rings], size)
    if not drawn.mask.size:
        raise SaywhereError("polygon: no pixel of the image is within it; draw a larger one")
    return drawn


def _ring(points: Any) -> Ring:
    return np.asarray(points, np.float64).reshape(-1, 2)


def _holes(region: Region, action: HolesAction) -> Region:
    """The background that the object encloses: pieces of background (4 neighbours) that do not reach around it."""
    framed = np.pad(~region.mask, 1, constant_values=True)
    numbers, pieces = _pieces(framed, connectivity=4)
    outside = pieces[0, 0]
    areas = np.bincount(pieces.ravel(), minlength=numbers)
    chosen = np.arange(numbers) != outside
    chosen[0] = False  # the object itself
    if action.smaller is not None:
        chosen &= areas < action.smaller
    if not chosen.any():
        raise SaywhereError(f"holes: object {action.object} has no hole{_below(action.smaller)}")
    return Region(region.left, region.top, chosen[pieces][1:-1, 1:-1])


def _crumbs(region: Region, action: CrumbsAction) -> Region:
    """The small pieces of an object (8 neighbours); its largest piece always stays."""
    numbers, pieces = _pieces(region.mask, connectivity=8)
    areas = np.bincount(pieces.ravel(), minlength=numbers)
    areas[0] = 0  # the background
    chosen = np.arange(numbers) != int(areas.argmax())
    chosen[0] = False
    if action.smaller is not None:
        chosen &= areas < action.smaller
    if not chosen.any():
        raise SaywhereError(f"crumbs: object {action.object} is of one piece{_below(action.smaller)}")
    return Region(region.left, region.top, chosen[pieces])


def _below(smaller: int | None) -> str:
    return "" if smaller is None else f" but for those of {smaller:,} pixels and more"


def _pieces(mask: BoolArray, connectivity: int) -> tuple[int, Any]:
    """How many numbers there are, and the number of the piece that each pixel belongs to, 0 off the mask."""
    return cv2.connectedComponents(np.ascontiguousarray(mask).view(np.uint8), connectivity=connectivity)
