"""Training samples and how they are collated into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from saywhere.core.prompt import Prompt
from saywhere.models.targets import PhraseSupervision


@dataclass(frozen=True)
class TrainingSample:
    """One crop as tensors ``(3|1, S, S)`` uint8, and the prompt of its first round."""

    image: Tensor
    target: Tensor
    ignore: Tensor
    prompt: Prompt
    drags: bool
    number: int
    supervised: PhraseSupervision


@dataclass(frozen=True)
class Batch:
    image: Tensor
    target: Tensor
    ignore: Tensor
    prompts: list[Prompt]
    drags: list[bool]
    numbers: list[int]
    supervision: list[PhraseSupervision]

    def pin_memory(self) -> Batch:
        """The same in memory that a GPU fetches by itself; torch's loader asks for it."""
        pinned = self.image.pin_memory(), self.target.pin_memory(), self.ignore.pin_memory()
        return Batch(*pinned, self.prompts, self.drags, self.numbers, self.supervision)

    def split(self, count: int) -> list[Batch]:
        """The batch in so many parts that are alike in size."""
        if count == 1:
            return [self]
        bounds = np.linspace(0, len(self.numbers), count + 1).astype(int)
        shares = [slice(a, b) for a, b in pairwise(bounds) if a < b]
        return [
            Batch(
                self.image[part], self.target[part], self.ignore[part], self.prompts[part], self.drags[part],
                self.numbers[part], self.supervision[part],
            )
            for part in shares
        ]  # fmt: skip


def collate(crops: Sequence[TrainingSample]) -> Batch:
    return Batch(
        torch.stack([c.image for c in crops]),
        torch.stack([c.target for c in crops]),
        torch.stack([c.ignore for c in crops]),
        [c.prompt for c in crops],
        [c.drags for c in crops],
        [c.number for c in crops],
        [c.supervised for c in crops],
    )
