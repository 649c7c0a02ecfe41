"""Losses, by name. Logits, target (0 or 1) and counted (0 or 1) are ``(B, 1, H, W)``; each gives ``(B,)``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn import functional as F


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    return (values * weight).flatten(1).sum(1) / weight.flatten(1).sum(1).clamp_min(1.0)


def bce(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Binary cross-entropy, averaged over the counted pixels."""
    return _mean(F.binary_cross_entropy_with_logits(logits, target, reduction="none"), counted)


def balanced_bce(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Cross-entropy in which object and background weigh the same, whatever their areas."""
    values = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return 0.5 * (_mean(values, counted * target) + _mean(values, counted * (1.0 - target)))


def normalised_focal(logits: Tensor, target: Tensor, counted: Tensor, gamma: float = 2.0) -> Tensor:
    """Focal loss divided by its own weights' mean, so that it does not fade as the mask gets better (RITM)."""
    values = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    probability = torch.exp(-values)
    weight = (1.0 - probability) ** gamma
    scale = (_mean(weight, counted)).detach().clamp_min(1e-6)
    return _mean(weight * values, counted) / scale


def dice(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """One minus the soft Dice coefficient."""
    probability = logits.sigmoid() * counted
    truth = target * counted
    overlap = (probability * truth).flatten(1).sum(1)
    return 1.0 - (2.0 * overlap + 1.0) / (probability.flatten(1).sum(1) + truth.flatten(1).sum(1) + 1.0)


def iou(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """One minus the soft intersection over union."""
    probability = logits.sigmoid() * counted
    truth = target * counted
    overlap = (probability * truth).flatten(1).sum(1)
    union = (probability + truth).flatten(1).sum(1) - overlap
    return 1.0 - (overlap + 1.0) / (union + 1.0)


LOSSES: Final[Mapping[str, Callable[[Tensor, Tensor, Tensor], Tensor]]] = {
    "bce": bce,
    "balanced_bce": balanced_bce,
    "normalised_focal": normalised_focal,
    "dice": dice,
    "iou": iou,
}


def total(weights: Mapping[str, float], logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """The weighted sum of the named losses, averaged over the batch."""
    return sum((w * LOSSES[name](logits, target, counted) for name, w in weights.items()), logits.new_zeros(1)).mean()
