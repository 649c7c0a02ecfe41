"""Losses of several candidate masks: at least one must be right, and the scores must say which.

``n`` is the number of candidates. The minimum over candidates is that of multiple choice learning (Guzman-Rivera et al.
2012), which Segment Anything uses for its ambiguous prompts.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def minimum_and_mean(losses: Tensor, mean_share: Tensor) -> Tensor:
    """A mixture of the smallest loss of an image's candidates and of their mean.

    Args:
        losses: ``(B, n)``.
        mean_share: ``(B,)``: 0 is the minimum alone, 1 the mean.

    Returns:
        ``(B,)``.
    """
    return (1.0 - mean_share) * losses.amin(1) + mean_share * losses.mean(1)


def candidate_ious(logits: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """The true IoU ``(B, n)`` of each candidate's mask over the counted pixels; no gradient passes.

    Args:
        logits: ``(B, n, H, W)``; above 0 means on the object.
        target: ``(B, 1, H, W)``, 0 or 1.
        counted: ``(B, 1, H, W)``, 0 or 1.
    """
    predicted = (logits.detach() > 0.0).to(target.dtype) * counted
    truth = target * counted
    overlap = (predicted * truth).sum((2, 3))
    union = predicted.sum((2, 3)) + truth.sum((2, 3)) - overlap
    return torch.where(union > 0.0, overlap / union.clamp_min(1.0), torch.ones_like(union))


def iou_regression(iou_logits: Tensor, ious: Tensor, weight: Tensor | None = None) -> Tensor:
    """Cross-entropy between predicted and true IoU, less its smallest value, averaged over all candidates.

    Args:
        iou_logits: ``(B, n)``.
        ious: ``(B, n)`` in [0, 1].
        weight: ``(B,)``, of each image; 1 by default.
    """
    weight = torch.ones_like(ious[:, 0]) if weight is None else weight
    least = F.binary_cross_entropy(ious, ious, reduction="none")
    values = (F.binary_cross_entropy_with_logits(iou_logits, ious, reduction="none") - least).mean(1)
    return (weight * values).sum() / weight.sum().clamp_min(1e-6)


def ranking(iou_logits: Tensor, ious: Tensor, weight: Tensor | None = None) -> Tensor:
    """Pairwise logistic loss among the candidates of each image (RankNet, Burges et al. 2005).

    A pair weighs as much as its IoUs differ, since a wrong choice costs that much; candidates that are equally good
    need no order. The sum is divided by the weights' sum, or by 1 where nearly all candidates are alike.

    Args:
        iou_logits: ``(B, n)``.
        ious: ``(B, n)``.
        weight: ``(B,)``, of each image; 1 by default.
    """
    weight = torch.ones_like(ious[:, 0]) if weight is None else weight
    gain = weight[:, None, None] * (ious[:, :, None] - ious[:, None, :]).clamp_min(0.0)
    margin = iou_logits[:, :, None] - iou_logits[:, None, :]
    return (gain * F.softplus(-margin)).sum() / gain.sum().clamp_min(1.0)
