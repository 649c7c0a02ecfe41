"""Training samples and how they are collated into batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
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
        tokens: ``(C, S/16, S/16)`` float16 of the crop; None for a network without tokens.
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
    tokens: Tensor | None = None


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
    tokens: Tensor | None = None

    def pin_memory(self) -> Batch:
        """A copy in pinned memory, which a GPU fetches by itself; torch's loader calls this."""
        pinned = {name: getattr(self, name).pin_memory() for name in ("image", "target", "ignore")}
        return replace(self, **pinned, tokens=None if self.tokens is None else self.tokens.pin_memory())

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
                None if self.tokens is None else self.tokens[part],
            )
            for part in shares
        ]  # fmt: skip


def collate(samples: Sequence[TrainingSample]) -> Batch:
    """Samples to a batch."""
    tokens = [s.tokens for s in samples if s.tokens is not None]
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
        torch.stack(tokens) if len(tokens) == len(samples) else None,
    )
