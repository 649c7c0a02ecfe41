"""How a box prompt changes the network's candidates: they are limited to it, and ranked by their agreement with it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saywhere.core.arrays import FloatArray
from saywhere.core.geometry import Box, bounding_box
from saywhere.core.mask import NOTHING
from saywhere.core.prompt import Click

TOLERANCE = 0.05  # of the box's longer side, by which an object may reach beyond a box that a person has drawn
FIT_POWER = 2.0  # of the agreement of boxes, which is multiplied with the predicted IoU


def confine(logits: FloatArray, box: Box, clicks: Sequence[Click]) -> FloatArray:
    """Logits without what lies outside a box, except for what a positive click outside it asks for.

    Args:
        logits: ``(n, height, width)`` of the candidates.
        box: in pixels of the same crop.
        clicks: in pixels of the same crop; with a positive one outside the box, nothing is removed.

    Returns:
        ``(n, height, width)``; :data:`NOTHING` outside the box with its tolerance.
    """
    left, top, right, bottom = box
    reach = TOLERANCE * max(right - left, bottom - top)
    left, top, right, bottom = left - reach, top - reach, right + reach, bottom + reach
    for click in clicks:
        if click.positive and not (left <= click.x + 0.5 <= right and top <= click.y + 0.5 <= bottom):
            return logits
    height, width = logits.shape[1:]
    rows, columns = np.arange(height) + 0.5, np.arange(width) + 0.5
    inside = ((rows >= top) & (rows <= bottom))[:, None] & ((columns >= left) & (columns <= right))
    return np.where(inside, logits, np.float32(NOTHING))


def box_agreement(logits: FloatArray, box: Box) -> FloatArray:
    """How well the bounding box of each candidate agrees with a box prompt.

    Args:
        logits: ``(n, height, width)`` of the candidates.
        box: in pixels of the same crop.

    Returns:
        ``(n,)`` IoU of both boxes; 0 for an empty mask.
    """
    return np.array([_box_iou(bounding_box(each > 0.0), box) for each in logits], np.float32)


def box_scores(predicted_ious: FloatArray, logits: FloatArray, box: Box) -> FloatArray:
    """The scores ``(n,)`` by which a candidate is chosen for a box: predicted IoU times agreement with the box."""
    return predicted_ious * box_agreement(logits, box) ** np.float32(FIT_POWER)


def _box_iou(first: Box | None, second: Box) -> float:
    if first is None:
        return 0.0
    width = min(first[2], second[2]) - max(first[0], second[0])
    height = min(first[3], second[3]) - max(first[1], second[1])
    overlap = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (first, second)]
    return overlap / (sum(areas) - overlap)
