"""Connected components of a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from saywhere.core.arrays import FloatArray
from saywhere.core.prompt import Click


def remove_unclicked_components(logits: FloatArray, clicks: Sequence[Click], min_share: float) -> FloatArray:
    """Remove components of a mask that no positive click is on.

    With one positive click only the component under it stays. Of an object that was clicked in several places, other
    components stay if they are large enough. The logits of a removed component change their sign. Where no click is on
    any component, all stay.

    Args:
        logits: ``(H, W)``, above 0 on the object.
        clicks: in pixels of the logits.
        min_share: the smallest area of an unclicked component that stays when there are several positive clicks, as a
            share of the area of the largest clicked one.

    Returns:
        ``(H, W)`` logits.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats((logits > 0).astype(np.uint8), connectivity=8)
    h, w = logits.shape
    positive = [c for c in clicks if c.positive]
    pixels = [(min(max(round(c.y), 0), h - 1), min(max(round(c.x), 0), w - 1)) for c in positive]
    clicked = {int(labels[pixel]) for pixel in pixels} - {0}
    if count <= 2 or not clicked:
        return logits
    areas = stats[:, cv2.CC_STAT_AREA]
    min_area = math.inf if len(positive) == 1 else min_share * max(int(areas[label]) for label in clicked)
    removed = areas < min_area
    removed[[0, *clicked]] = False
    return np.where(removed[labels], -logits, logits)
