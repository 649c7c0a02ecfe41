"""Random walker (Grady 2006): the probability that a random walker reaches a foreground seed first.

Edge weights and results are those of scikit-image, which computes the Laplacian at every click and solves a system for
each label. Here the Laplacian is computed once for an image, and one system is solved, starting from the last result.
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

BETA = 130.0  # weight of contrast; scikit-image's default
MIN_WEIGHT = 1e-10  # of an edge, so that every pixel can be reached
TOLERANCE = 1e-3  # of the solver's residual, relative to the right-hand side


@dataclass(frozen=True)
class PixelGraph:
    """The pixels of an image as a graph.

    Attributes:
        laplacian: ``(H * W, H * W)`` sparse.
        shape: height and width of the image.
    """

    laplacian: Any
    shape: tuple[int, int]


class RandomWalker(Runtime):
    """The probability of reaching a foreground seed before a background seed; the image's border is background."""

    name = "random-walker"

    def __init__(self) -> None:
        with needing("bench", "random-walker"):
            import scipy.sparse.linalg  # noqa: F401

    def encode(self, image: ImageArray) -> PixelGraph:
        return PixelGraph(laplacian(image), (image.shape[0], image.shape[1]))

    def decode(self, features: PixelGraph, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        seeds = Seeds.from_prompt(prompt, features.shape).with_border()
        probability = np.clip(object_probability(features, seeds, previous), 1e-4, 1.0 - 1e-4)
        return np.log(probability / (1.0 - probability)).astype(np.float32)


def object_probability(graph: PixelGraph, seeds: Seeds, previous: FloatArray | None = None) -> NDArray[np.float64]:
    """The probability that each pixel belongs to the object.

    Args:
        graph: the image.
        seeds: foreground and background seeds.
        previous: ``(H, W)``, the last result, from which the solver starts.

    Returns:
        ``(H, W)``.
    """
    from scipy import sparse
    from scipy.sparse.linalg import cg

    probability = seeds.foreground.astype(np.float64)
    unseeded = np.flatnonzero(~(seeds.foreground | seeds.background))
    if len(unseeded) and seeds.foreground.any() and seeds.background.any():
        rows = graph.laplacian[unseeded]
        equations = rows[:, unseeded]
        right_side = -(rows @ probability.ravel())
        start = None if previous is None else previous.ravel()[unseeded].astype(np.float64)
        preconditioner = sparse.diags_array(1.0 / equations.diagonal())
        solution, _ = cg(equations, right_side, x0=start, rtol=TOLERANCE, M=preconditioner)
        probability.ravel()[unseeded] = solution
    return probability


def laplacian(image: ImageArray) -> Any:
    """The graph Laplacian of an image.

    Neighbours (4-connected) are joined with the weight ``exp(-BETA * contrast)``, contrast as scaled by scikit-image.

    Args:
        image: ``(H, W, 3)`` RGB uint8.

    Returns:
        ``(H * W, H * W)`` sparse, in CSR format.
    """
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
