"""Random walker (Grady 2006): which seed does a walker that avoids edges reach first?

Weights and results are scikit-image's, which solves once for each label and anew at every click. Here the Laplacian is
computed once for each image, the system is solved for one label and starts from the last result.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.prompt import Prompt
from saywhere.errors import needing
from saywhere.runtime.base import Runtime
from saywhere.runtime.classical.base import Seeds

BETA = 130.0  # weight of contrast; scikit-image's and the paper's magnitude
MIN_WEIGHT = 1e-10  # of an edge weight, so that every pixel can be reached
TOLERANCE = 1e-3  # of the residual, relative to the right-hand side


@dataclass(frozen=True)
class PixelGraph:
    """The graph Laplacian of an image, and the image's height and width."""

    laplacian: Any
    shape: tuple[int, int]


class RandomWalker(Runtime):
    """The probability of reaching a seed on the object before one off it; the image's border is off it."""

    name = "random-walker"

    def __init__(self) -> None:
        with needing("bench", "random-walker"):
            import scipy.sparse.linalg  # noqa: F401

    def encode(self, image: ImageArray) -> PixelGraph:
        return PixelGraph(laplacian(image), (image.shape[0], image.shape[1]))

    def decode(self, features: PixelGraph, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        seeds = Seeds.of(prompt, features.shape).with_border()
        probability = np.clip(object_probability(features, seeds, previous), 1e-4, 1.0 - 1e-4)
        return np.log(probability / (1.0 - probability)).astype(np.float32)


def object_probability(graph: PixelGraph, seeds: Seeds, previous: FloatArray | None = None) -> NDArray[np.float64]:
    """Each pixel's probability ``(H, W)``; ``previous`` is where the solver starts."""
    from scipy import sparse
    from scipy.sparse.linalg import cg

    probability = seeds.on.astype(np.float64)
    unseeded = np.flatnonzero(~(seeds.on | seeds.off))
    if len(unseeded) and seeds.on.any() and seeds.off.any():
        rows = graph.laplacian[unseeded]
        equations = rows[:, unseeded]
        right_side = -(rows @ probability.ravel())
        start = None if previous is None else previous.ravel()[unseeded].astype(np.float64)
        scale = sparse.diags_array(1.0 / equations.diagonal())
        solution, _ = cg(equations, right_side, x0=start, rtol=TOLERANCE, M=scale)
        probability.ravel()[unseeded] = solution
    return probability


def laplacian(image: ImageArray) -> Any:
    """Of the grid of pixels, with ``exp(-BETA * contrast)`` between neighbours, contrast as scikit-image scales it."""
    from scipy import sparse

    colours = image.astype(np.float64) / 255.0
    numbers = np.arange(colours[..., 0].size).reshape(image.shape[:2])
    pairs = [(numbers[:, :-1], numbers[:, 1:]), (numbers[:-1], numbers[1:])]
    steps = [np.square(np.diff(colours, axis=axis)).sum(2).ravel() for axis in (1, 0)]
    contrast = np.concatenate(steps) / (10.0 * max(float(colours.std()), 1e-6) * np.sqrt(3.0))
    weights = np.exp(-BETA * contrast) + MIN_WEIGHT
    first_pixels = np.concatenate([first.ravel() for first, _ in pairs])
    second_pixels = np.concatenate([second.ravel() for _, second in pairs])
    size = (numbers.size, numbers.size)
    edges = sparse.coo_array((weights, (first_pixels, second_pixels)), size).tocsr()
    edges = edges + edges.T
    return (sparse.diags_array(edges.sum(axis=1)) - edges).tocsr()
