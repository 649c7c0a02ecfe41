"""Shared by all classical methods: seeds from clicks, the image's border as background, binary masks as logits."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core import guidance
from saywhere.core.arrays import FloatArray
from saywhere.core.prompt import Prompt

MASK_LOGIT = 8.0  # magnitude of the logits of a binary mask
SEED_RADIUS = 0.01  # of a click's seed disk, as a share of the longer side; a larger one would exceed thin parts
COLOUR_RADIUS = 0.02  # of the disk around a click whose colours are sampled, as a share of the longer side
BORDER_DISTANCE = 0.1  # border pixels nearer to a positive seed are no background seeds; share of the shorter side


@dataclass(frozen=True)
class Seeds:
    """Pixels whose label is fixed by a prompt.

    Attributes:
        foreground: ``(H, W)``, on the object.
        background: ``(H, W)``, off the object.
    """

    foreground: NDArray[np.bool_]
    background: NDArray[np.bool_]

    @classmethod
    def from_prompt(cls, prompt: Prompt, shape: tuple[int, int], radius: float = SEED_RADIUS) -> Seeds:
        """Draw the clicks and drags of a prompt as disks; where two overlap, the later one counts.

        Args:
            prompt: in pixels of the image.
            shape: height and width of the image.
            radius: of a click's disk, as a share of the longer side. A drag's disk has 0.9 of its own radius, because a
                drag may slightly cross the boundary.
        """
        foreground, background = np.zeros(shape, np.bool_), np.zeros(shape, np.bool_)
        for click in prompt.clicks:
            pixels = max(radius * max(shape) if click.radius is None else 0.9 * click.radius, 1.0)
            disk = guidance.disk([click], shape, radius=pixels) > 0.5
            same, other = (foreground, background) if click.positive else (background, foreground)
            same |= disk
            other &= ~disk
        return cls(foreground, background)

    def with_border(self) -> Seeds:
        """Add the image's border to the background seeds, except near foreground seeds.

        This is done even if there are negative clicks, because a negative click only describes its own side of the
        image. If the object extends beyond the border, a positive click near the border removes the seeds there.
        """
        border = np.ones_like(self.foreground)
        border[1:-1, 1:-1] = False
        far = distance_to(self.foreground) > BORDER_DISTANCE * min(self.foreground.shape)
        return Seeds(self.foreground, self.background | (border & far))


def distance_to(region: NDArray[np.bool_]) -> FloatArray:
    """Distance from each pixel to a region.

    Args:
        region: ``(H, W)``.

    Returns:
        ``(H, W)``, pixels to the nearest pixel of the region; 1e9 if the region is empty.
    """
    if not region.any():
        return np.full(region.shape, np.float32(1e9))
    return np.asarray(cv2.distanceTransform((~region).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def components_with_seed(inside: NDArray[np.bool_], seeds: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Remove the components of a mask that have no seed, which are other objects of similar colours.

    Args:
        inside: ``(H, W)``, the mask.
        seeds: ``(H, W)``, foreground seeds.

    Returns:
        ``(H, W)``, the 4-connected components with a seed.
    """
    _, components = cv2.connectedComponents(inside.astype(np.uint8), connectivity=4)
    seeded = np.zeros(int(components.max()) + 1, np.bool_)
    seeded[components[seeds & inside]] = True
    seeded[0] = False
    return seeded[components]


def mask_to_logits(inside: NDArray[np.bool_]) -> FloatArray:
    """A binary mask ``(H, W)`` as logits of magnitude :data:`MASK_LOGIT`."""
    return np.where(inside, MASK_LOGIT, -MASK_LOGIT).astype(np.float32)
