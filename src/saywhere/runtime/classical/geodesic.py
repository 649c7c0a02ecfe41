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

STEP = 1e-3  # cost of a step where nothing changes, so that nearer wins among equals


class Geodesic(Runtime):
    """Geodesic distances to the seeds; a step costs the change of the colour models' object probability."""

    name = "geodesic"

    def __init__(self) -> None:
        with needing("bench", "geodesic"):
            import skimage.graph  # noqa: F401

    def encode(self, image: ImageArray) -> ImageArray:
        return image

    def decode(self, features: ImageArray, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        seeds = Seeds.of(prompt, features.shape[:2])
        on, off = colour_costs(features, Seeds.of(prompt, features.shape[:2], COLOUR_RADIUS))
        seeds = seeds.with_border()
        probability = 1.0 / (1.0 + np.exp(np.clip(on - off, -30.0, 30.0)))
        rows, columns = np.gradient(probability) if min(probability.shape) > 1 else (np.zeros_like(probability),) * 2
        cost = np.hypot(rows, columns) + STEP
        to_on, to_off = distance(cost, seeds.on), distance(cost, seeds.off)
        share = np.clip(to_off / np.maximum(to_on + to_off, 1e-12), 1e-4, 1.0 - 1e-4)
        return np.log(share / (1.0 - share)).astype(np.float32)


def distance(cost: NDArray[np.float64], seeds: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The least summed cost of a path from any seed to each pixel."""
    if not seeds.any():
        return np.full(cost.shape, 1e12)
    from skimage.graph import MCP_Geometric

    costs, _ = MCP_Geometric(cost).find_costs(np.argwhere(seeds))
    return np.asarray(costs, np.float64)
