"""Geodesic segmentation (Bai and Sapiro 2007): each pixel gets the label of the seed at the least geodesic distance."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.prompt import Prompt
from saywhere.errors import needing
from saywhere.runtime.base import Runtime
from saywhere.runtime.classical.base import COLOUR_RADIUS, Seeds
from saywhere.runtime.classical.colours import colour_costs

STEP = 1e-3  # cost of a step where the probability does not change, so that the nearer seed wins


class Geodesic(Runtime):
    """Compares geodesic distances to the seeds; a step costs the change of the colour models' object probability."""

    name = "geodesic"

    def __init__(self) -> None:
        with needing("bench", "geodesic"):
            import skimage.graph  # noqa: F401

    def encode(self, image: ImageArray) -> ImageArray:
        return image

    def decode(self, features: ImageArray, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        seeds = Seeds.from_prompt(prompt, features.shape[:2]).with_border()
        colour_seeds = Seeds.from_prompt(prompt, features.shape[:2], COLOUR_RADIUS)
        object_cost, background_cost = colour_costs(features, colour_seeds)
        probability = 1.0 / (1.0 + np.exp(np.clip(object_cost - background_cost, -30.0, 30.0)))
        rows, columns = np.gradient(probability) if min(probability.shape) > 1 else (np.zeros_like(probability),) * 2
        cost = np.hypot(rows, columns) + STEP
        foreground = geodesic_distance(cost, seeds.foreground)
        background = geodesic_distance(cost, seeds.background)
        probability = np.clip(background / np.maximum(foreground + background, 1e-12), 1e-4, 1.0 - 1e-4)
        return np.log(probability / (1.0 - probability)).astype(np.float32)


def geodesic_distance(cost: NDArray[np.float64], seeds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The cost of the cheapest path from each pixel to a seed.

    Args:
        cost: ``(H, W)``, of a step over each pixel.
        seeds: ``(H, W)``.

    Returns:
        ``(H, W)``; 1e12 without seeds.
    """
    if not seeds.any():
        return np.full(cost.shape, 1e12)
    from skimage.graph import MCP_Geometric

    costs, _ = MCP_Geometric(cost).find_costs(np.argwhere(seeds))
    return np.asarray(costs, np.float64)
