"""What all classical methods share: clicks as seeds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saywhere import guidance
from saywhere.prompt import Prompt

Float = NDArray[np.float32]
SURE = 8.0  # the logit of a hard decision
RADIUS = 5.0  # pixels around a click that it speaks for


@dataclass(frozen=True)
class Seeds:
    """Pixels that a prompt says are on the object and off it: ``(H, W)`` bool each.

    A drag speaks for its whole disk, less a tenth for the hand that did not quite reach the boundary.
    """

    on: NDArray[np.bool_]
    off: NDArray[np.bool_]

    @classmethod
    def of(cls, prompt: Prompt, shape: tuple[int, int]) -> Seeds:
        drawn = [np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)]
        # In their order: a later click overrules an earlier one where they meet.
        for click in prompt.clicks:
            radius = RADIUS if click.radius is None else max(0.9 * click.radius, 1.0)
            disk = guidance.disk([click], shape, radius=radius) > 0.5
            drawn[not click.positive] |= disk
            drawn[click.positive] &= ~disk
        return cls(*drawn)

    def with_border(self) -> Seeds:
        """While nothing was said to be off the object, the photograph's border is taken for it."""
        if self.off.any():
            return self
        border = np.ones_like(self.on)
        border[1:-1, 1:-1] = False
        return Seeds(self.on, border & ~self.on)


def decided(inside: NDArray[np.bool_]) -> Float:
    """A hard decision as logits."""
    return np.where(inside, SURE, -SURE).astype(np.float32)
