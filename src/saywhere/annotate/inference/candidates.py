"""Which of the network's candidate masks are offered: those that differ when the prompt is given."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saywhere.annotate.interactions import Candidates
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


def same_candidates(before: Candidates, masks_before: Sequence[Mask], masks: Sequence[Mask], chosen: int) -> Candidates:
    """The candidates that were offered before one of them was chosen, in the same order.

    The crop follows the chosen one. In that of a part, whole and group look alike, and nobody should lose the way back.

    Args:
        before: what was offered.
        masks_before: the candidates at that time.
        masks: the candidates now, which are of the same outputs of the network.
        chosen: index of the object's mask among them.

    Returns:
        Their indices now; those that differ now where the chosen one was not among those offered, or other weights
        with fewer masks offered them.
    """
    outputs = [masks_before[index].candidate for index in before.indices if index < len(masks_before)]
    if len(outputs) < len(before.indices) or masks[chosen].candidate not in outputs:
        return distinct_candidates(masks, chosen)
    now = [mask.candidate for mask in masks]
    return Candidates(tuple(now.index(output) for output in outputs), outputs.index(masks[chosen].candidate))
