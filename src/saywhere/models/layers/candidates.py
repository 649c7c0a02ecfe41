"""The scores by which one of several candidate masks is chosen."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

MIN_AREA = 1e-4  # share of the image, under which the area of a mask no longer counts


class CandidateScores(nn.Module):
    """Predicts the IoU of each candidate mask (as Segment Anything does, here from what lies under each mask).

    What it sees is not changed by its loss: the gradient ends at its inputs.

    Args:
        candidates: number of masks.
        maps: channels of the maps at stride 4: decoder features and guidance.
        guidance: how many of these, the last, are guidance.
        deep: channels of the decoder's coarsest features.
        relevance: sources of the relevance map.
        hidden: width of the layers.
    """

    def __init__(self, candidates: int, maps: int, guidance: int, deep: int, relevance: int, hidden: int = 64) -> None:
        super().__init__()
        self.guidance = guidance
        # Under and outside the mask; over the whole image; the maximum of the guidance; five numbers of the mask.
        self.first = nn.Linear(2 * maps + 2 * relevance + maps + deep + guidance + 5, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.which = nn.Parameter(0.02 * torch.randn(candidates, hidden))
        self.second = nn.Linear(hidden, hidden)
        self.last = nn.Linear(hidden, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, logits: Tensor, maps: Tensor, deep: Tensor, relevance: Tensor) -> Tensor:
        """Logits of the predicted IoU.

        Args:
            logits: ``(B, n, h, w)`` of the masks, at the resolution of the maps.
            maps: ``(B, C, h, w)``, decoder features and guidance.
            deep: ``(B, D, h/8, w/8)``, the decoder's coarsest features.
            relevance: ``(B, S, h/2, w/2)``, how relevant the phrase is to each cell, in [-1, 1].

        Returns:
            ``(B, n)``.
        """
        probability = logits.detach().float().sigmoid()
        maps, deep, relevance = maps.detach().float(), deep.detach().float(), relevance.detach().float()
        count = probability.shape[1]
        seen = torch.cat([maps.mean((2, 3)), deep.mean((2, 3)), maps[:, -self.guidance :].amax((2, 3))], 1)
        described = torch.cat(
            [
                *masked_means(maps, probability),
                *(masked_means(relevance, F.avg_pool2d(probability, 2)) if relevance.shape[1] else ()),
                _mask_facts(probability),
                seen[:, None].expand(-1, count, -1),
            ],
            2,
        )
        x = F.relu(self.norm(self.first(described)) + self.which)
        return self.last(F.relu(self.second(x)))[..., 0].float()


def masked_means(maps: Tensor, probability: Tensor) -> tuple[Tensor, Tensor]:
    """The mean of each channel under and outside soft masks.

    Args:
        maps: ``(B, C, h, w)``.
        probability: ``(B, n, h, w)``.

    Returns:
        Two tensors ``(B, n, C)``; an empty mask has a mean of 0.
    """
    cells, weights = maps.flatten(2).transpose(1, 2), probability.flatten(2)
    least = MIN_AREA * weights.shape[2]
    under = torch.bmm(weights, cells) / weights.sum(2, keepdim=True).clamp(min=least)
    outside = torch.bmm(1.0 - weights, cells) / (1.0 - weights).sum(2, keepdim=True).clamp(min=least)
    return under, outside


def _mask_facts(probability: Tensor) -> Tensor:
    """Five numbers of each soft mask, ``(B, n, 5)``: area, logarithm of it, confidence over the image and under the
    mask, and soft IoU with the mean of all candidates."""
    flat = probability.flatten(2)
    mean = flat.mean(1, keepdim=True)
    area = flat.mean(2)
    overlap = (flat * mean).mean(2)
    facts = [
        area,
        area.clamp(min=MIN_AREA).log() / 5.0,
        (2.0 * flat - 1.0).abs().mean(2),
        flat.square().mean(2) / area.clamp(min=MIN_AREA),
        overlap / (area + mean.mean(2) - overlap).clamp(min=MIN_AREA),
    ]
    return torch.stack(facts, 2)
