"""Losses by name.

All take logits ``(B, n, H, W)`` of n masks, target (0 or 1) and counted pixels (0 or 1), ``(B, 1, H, W)`` each, and
return ``(B, n)``. Pixels that are not counted have no influence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    """Weighted mean over the pixels of each mask."""
    return (values * weight).sum((2, 3)) / weight.sum((2, 3)).clamp_min(1.0)


def _cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target.expand_as(logits), reduction="none")


def bce(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Binary cross-entropy, averaged over the counted pixels."""
    return _mean(_cross_entropy(logits, target), counted)


def balanced_bce(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Binary cross-entropy in which object and background have the same weight, whatever their areas."""
    values = _cross_entropy(logits, target)
    return 0.5 * (_mean(values, counted * target) + _mean(values, counted * (1.0 - target)))


def class_balanced_bce(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Binary cross-entropy weighted by the inverse frequency of the pixel's class (Multi-Stage Fusion, equations 2, 3).

    The frequencies are those of the batch's counted pixels; the weights are scaled to a mean of 1 over them.
    """
    values = _cross_entropy(logits, target)
    count = counted.sum().clamp_min(1.0)
    share = ((counted * target).sum() / count).clamp(1.0 / float(count), 1.0 - 1.0 / float(count))
    weight = 0.5 * (target / share + (1.0 - target) / (1.0 - share))
    return _mean(values * weight, counted)


def normalised_focal(logits: Tensor, target: Tensor, counted: Tensor, gamma: float = 2.0) -> Tensor:
    """Normalised focal loss (Sofiiuk et al. 2019; RITM): divided by the mean of its weights, so it does not vanish.

    ``gamma`` is the exponent of the focal loss.
    """
    values = _cross_entropy(logits, target)
    probability = torch.exp(-values)
    weight = (1.0 - probability) ** gamma
    scale = _mean(weight, counted).detach().clamp_min(1e-6)
    return _mean(weight * values, counted) / scale


def boundary_bce(logits: Tensor, target: Tensor, counted: Tensor, reach: int = 3) -> Tensor:
    """Binary cross-entropy, averaged over the counted pixels within ``reach`` pixels of the object's boundary."""
    share = target  # of the square around each pixel
    for kernel, padding in (((2 * reach + 1, 1), (reach, 0)), ((1, 2 * reach + 1), (0, reach))):
        share = F.avg_pool2d(share, kernel, 1, padding, count_include_pad=False)
    near = ((share > 1e-4) & (share < 1.0 - 1e-4)).to(target.dtype)
    return _mean(_cross_entropy(logits, target), counted * near)


def dice(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """One minus the soft Dice coefficient."""
    probability = logits.sigmoid() * counted
    expected = target * counted
    overlap = (probability * expected).sum((2, 3))
    return 1.0 - (2.0 * overlap + 1.0) / (probability.sum((2, 3)) + expected.sum((2, 3)) + 1.0)


def iou(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """One minus the soft intersection over union."""
    probability = logits.sigmoid() * counted
    expected = target * counted
    overlap = (probability * expected).sum((2, 3))
    union = (probability + expected).sum((2, 3)) - overlap
    return 1.0 - (overlap + 1.0) / (union + 1.0)


LOSSES: Final[Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "bce": bce,
    "balanced_bce": balanced_bce,
    "class_balanced_bce": class_balanced_bce,
    "normalised_focal": normalised_focal,
    "boundary_bce": boundary_bce,
    "dice": dice,
    "iou": iou,
}


def weighted_sum(
    weights: Mapping[str, float], logits: Tensor, target: Tensor, counted: Tensor, reduction: str = "mean"
) -> Tensor:
    """The weighted sum ``(B, n)`` of some losses; arguments as for :func:`total`."""
    values = sum(
        (weight * LOSSES[name](logits, target, counted) for name, weight in weights.items()), logits.new_zeros(1)
    )
    return values * counted.sum((2, 3)) if reduction == "sum" else values


def total(
    weights: Mapping[str, float], logits: Tensor, target: Tensor, counted: Tensor, reduction: str = "mean"
) -> Tensor:
    """The weighted sum of some losses, averaged over the batch.

    Args:
        weights: by the losses' names in :data:`LOSSES`.
        logits: ``(B, n, H, W)``.
        target: ``(B, 1, H, W)``, 0 or 1.
        counted: ``(B, 1, H, W)``, 0 or 1.
        reduction: "mean" over the counted pixels of an image, or "sum" over them: the loss times their number.
    """
    return weighted_sum(weights, logits, target, counted, reduction).mean()
