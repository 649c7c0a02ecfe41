"""What all classical methods share: seeds from clicks, the image border as background, hard decisions as logits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core import guidance
from saywhere.core.arrays import FloatArray
from saywhere.core.prompt import Prompt

HARD_LOGIT = 8.0  # the logit of a hard decision
SEED_RADIUS = 0.01  # of the longer side: of a click's seed disk; more would cover thin parts
COLOUR_RADIUS = 0.02  # of the longer side: of the disk around a click that is sampled for colours; less holds too few
BORDER_DISTANCE = 0.1  # of the shorter side: border pixels this near to a positive click are no background seeds


@dataclass(frozen=True)
class Seeds:
    """Pixels that are on the object and off it according to a prompt: ``(H, W)`` bool each.

    A click marks a disk whose radius is a share of the image's longer side; a drag marks its own disk with nine tenths
    of the radius, because a drag may cross the boundary a little.
    """

    on: NDArray[np.bool_]
    off: NDArray[np.bool_]

    @classmethod
    def of(cls, prompt: Prompt, shape: tuple[int, int], share: float = SEED_RADIUS) -> Seeds:
        drawn = [np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)]
        # In their order: a later click overrules an earlier one where they meet.
        for click in prompt.clicks:
            radius = max(share * max(shape) if click.radius is None else 0.9 * click.radius, 1.0)
            disk = guidance.disk([click], shape, radius=radius) > 0.5
            drawn[not click.positive] |= disk
            drawn[click.positive] &= ~disk
        return cls(*drawn)

    def with_border(self) -> Seeds:
        """The same with the image's border off the object, except near a positive seed.

        Also after negative clicks: one of them tells nothing about the other sides of the image. For an object that
        is cut off by the border, a positive click near the border frees that part of it.
        """
        border = np.ones_like(self.on)
        border[1:-1, 1:-1] = False
        far = distance_to(self.on) > BORDER_DISTANCE * min(self.on.shape)
        return Seeds(self.on, self.off | (border & far))


def distance_to(where: NDArray[np.bool_]) -> FloatArray:
    """Each pixel's distance to the nearest True pixel of ``where`` ``(H, W)``; 1e9 when there is none."""
    if not where.any():
        return np.full(where.shape, np.float32(1e9))
    return np.asarray(cv2.distanceTransform((~where).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def components_with_seed(inside: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The connected components of ``inside`` ``(H, W)`` that hold a seed; similar objects elsewhere are left out."""
    _, components = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
    seeded = np.zeros(int(components.max()) + 1, np.bool_)
    seeded[components[seeds & inside]] = True
    seeded[0] = False
    return seeded[components]


def hard_logits(inside: NDArray[np.bool_]) -> FloatArray:
    """A hard decision as logits."""
    return np.where(inside, HARD_LOGIT, -HARD_LOGIT).astype(np.float32)
