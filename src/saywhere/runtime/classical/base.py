"""What all classical methods share: clicks as seeds, and where the object surely is not."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core import guidance
from saywhere.core.arrays import FloatArray
from saywhere.core.prompt import Prompt

SURE = 8.0  # the logit of a hard decision
RADIUS = 0.01  # of the longer side: how far around a click all is as it says; more would cover thin parts
COLOURS = 0.02  # of the longer side: how far around a click it is a sample of colours; less would be too few
REACH = 0.1  # of the shorter side: how far from a positive click the border may be the object's


@dataclass(frozen=True)
class Seeds:
    """Pixels that a prompt says are on the object and off it: ``(H, W)`` bool each.

    A click speaks for a disk whose radius is a share of the photograph's longer side; a drag for its whole disk, less
    a tenth for the hand that did not quite reach the boundary.
    """

    on: NDArray[np.bool_]
    off: NDArray[np.bool_]

    @classmethod
    def of(cls, prompt: Prompt, shape: tuple[int, int], share: float = RADIUS) -> Seeds:
        drawn = [np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)]
        # In their order: a later click overrules an earlier one where they meet.
        for click in prompt.clicks:
            radius = max(share * max(shape) if click.radius is None else 0.9 * click.radius, 1.0)
            disk = guidance.disk([click], shape, radius=radius) > 0.5
            drawn[not click.positive] |= disk
            drawn[click.positive] &= ~disk
        return cls(*drawn)

    def with_border(self) -> Seeds:
        """The photograph's border is off the object too, except near what is on it.

        Whatever else is clicked: one negative click says nothing about all other sides. An object that runs off the
        photograph takes its piece of the border with a positive click near it.
        """
        border = np.ones_like(self.on)
        border[1:-1, 1:-1] = False
        far = away(self.on) > REACH * min(self.on.shape)
        return Seeds(self.on, self.off | (border & far))


def away(where: NDArray[np.bool_]) -> FloatArray:
    """Each pixel's distance to the nearest of ``where``; very far when there is none."""
    if not where.any():
        return np.full(where.shape, np.float32(1e9))
    return np.asarray(cv2.distanceTransform((~where).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def held_together(inside: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected parts of ``inside`` that hold a seed: alike things elsewhere were not asked for."""
    _, parts = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
    wanted = np.zeros(int(parts.max()) + 1, np.bool_)
    wanted[parts[seeds & inside]] = True
    wanted[0] = False
    return wanted[parts]


def decided(inside: NDArray[np.bool_]) -> FloatArray:
    """A hard decision as logits."""
    return np.where(inside, SURE, -SURE).astype(np.float32)
