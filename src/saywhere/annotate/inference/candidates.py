"""Which of the network's candidate masks are worth showing: those that differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saywhere.annotate.events import Candidates
from saywhere.core.mask import NOTHING, Mask, logit
from saywhere.core.metrics import iou

NEARLY_EQUAL = 0.97  # IoU from which on a person would see no difference


def distinct_candidates(masks: Sequence[Mask], chosen: int) -> Candidates:
    """The candidates that differ from each other; the chosen one stands for all that are nearly equal to it.

    They are compared in the crop of the chosen one, so that this takes no longer for a large image.

    Args:
        masks: the candidates, smallest first.
        chosen: index of the object's mask among them.

    Returns:
        Their indices; none where no other mask differs from the chosen one.
    """
    if len(masks) < 2:
        return Candidates()
    crop = masks[chosen].crop
    inside = [mask.crop.resample(mask.final_logits, crop, NOTHING) > logit(mask.threshold) for mask in masks]
    indices = [chosen]
    for index, region in enumerate(inside):
        if np.any(region) and all(iou(region, inside[other]) <= NEARLY_EQUAL for other in indices):
            indices.append(index)
    indices.sort()
    return Candidates(tuple(indices), indices.index(chosen)) if len(indices) > 1 else Candidates()
