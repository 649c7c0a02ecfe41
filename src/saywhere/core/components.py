"""Connected components of a mask."""

from __future__ import annotations

import math
from collections.abc import Sequence

import cv2
import numpy as np

from saywhere.core.arrays import FloatArray
from saywhere.core.prompt import Click


def remove_unclicked_components(logits: FloatArray, clicks: Sequence[Click], least: float) -> FloatArray:
    """Logits ``(H, W)`` without the pieces that no positive click is on; ``clicks`` are in their pixels.

    One positive click means the piece under it. Of an object that was clicked in several places, other pieces stay if
    they are at least ``least`` times as large as the largest clicked one. A piece that goes becomes as unlikely as it
    was likely. Where no click is on a piece, all stay.
    """
    count, pieces, figures, _ = cv2.connectedComponentsWithStats((logits > 0).astype(np.uint8), connectivity=8)
    h, w = logits.shape
    positive = [c for c in clicks if c.positive]
    at = [(min(max(round(c.y), 0), h - 1), min(max(round(c.x), 0), w - 1)) for c in positive]
    meant = {int(pieces[place]) for place in at} - {0}
    if count <= 2 or not meant:
        return logits
    areas = figures[:, cv2.CC_STAT_AREA]
    enough = math.inf if len(positive) == 1 else least * max(int(areas[piece]) for piece in meant)
    goes = areas < enough
    goes[[0, *meant]] = False
    return np.where(goes[pieces], -logits, logits)
