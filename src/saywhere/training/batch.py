"""Training samples and how they are collated into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from saywhere.core.prompt import Click, Prompt
from saywhere.models.targets import PhraseSupervision


@dataclass(frozen=True)
class TrainingSample:
    """One crop and the prompt of its first round.

    Attributes:
        image: ``(3, S, S)`` uint8 RGB.
        target: ``(1, S, S)`` uint8, 1 on the object.
        ignore: ``(1, S, S)`` uint8, 1 where a pixel does not count.
        prompt: clicks in pixels of the crop, and a phrase.
        drags: whether clicks carry a radius.
        number: the sample's number in the run.
        supervision: what is known of the labels in the crop.
        centre: the click at the object's centre, which the prompt's only click should agree with; None where there is
            nothing to compare.
        is_part: whether the object lies inside another labelled one.
    """

    image: Tensor
    target: Tensor
    ignore: Tensor
    prompt: Prompt
    drags: bool
    number: int
    supervision: PhraseSupervision
    centre: Click | None = None
    is_part: bool = False


@dataclass(frozen=True)
class Batch:
    """B samples: the attributes of :class:`TrainingSample`, stacked or listed."""

    image: Tensor
    target: Tensor
    ignore: Tensor
    prompts: list[Prompt]
    drags: list[bool]
    numbers: list[int]
    supervision: list[PhraseSupervision]
    centres: list[Click | None]
    are_parts: list[bool]

    def pin_memory(self) -> Batch:
        """A copy in pinned memory, which a GPU fetches by itself; torch's loader calls this."""
        pinned = self.image.pin_memory(), self.target.pin_memory(), self.ignore.pin_memory()
        return Batch(*pinned, self.prompts, self.drags, self.numbers, self.supervision, self.centres, self.are_parts)

    def split(self, count: int) -> list[Batch]:
        """At most ``count`` batches of about the same size."""
        if count == 1:
            return [self]
        bounds = np.linspace(0, len(self.numbers), count + 1).astype(int)
        shares = [slice(a, b) for a, b in pairwise(bounds) if a < b]
        return [
            Batch(
                self.image[part], self.target[part], self.ignore[part], self.prompts[part], self.drags[part],
                self.numbers[part], self.supervision[part], self.centres[part], self.are_parts[part],
            )
            for part in shares
        ]  # fmt: skip


def collate(samples: Sequence[TrainingSample]) -> Batch:
    """Samples to a batch."""
    return Batch(
        torch.stack([s.image for s in samples]),
        torch.stack([s.target for s in samples]),
        torch.stack([s.ignore for s in samples]),
        [s.prompt for s in samples],
        [s.drags for s in samples],
        [s.number for s in samples],
        [s.supervision for s in samples],
        [s.centre for s in samples],
        [s.is_part for s in samples],
    )
