"""Random walker (Grady 2006): who would a walker that avoids edges meet first?

Weights and answers are scikit-image's, which solves once for each label and from nothing at every click. Here the
equations are written down once a photograph, solved for one label, and start from the last answer.
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

BETA = 130.0  # how much a walker minds contrast; scikit-image's and the paper's magnitude
LEAST = 1e-10  # weight of an edge that no walker would cross, so that every pixel can be reached
CLOSE = 1e-3  # residual, relative to the seeds' pull, at which the answer is good


@dataclass(frozen=True)
class Walk:
    """The graph Laplacian of a photograph of a height and width."""

    laplacian: Any
    shape: tuple[int, int]


class RandomWalker(Runtime):
    """The probability of reaching a seed on the object before one off it, the photograph's border among them."""

    name = "random-walker"

    def __init__(self) -> None:
        with needing("bench", "random-walker"):
            import scipy.sparse.linalg  # noqa: F401

    def encode(self, image: ImageArray) -> Walk:
        return Walk(laplacian(image), (image.shape[0], image.shape[1]))

    def decode(self, features: Walk, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        seeds = Seeds.of(prompt, features.shape).with_border()
        chance = np.clip(reach(features, seeds, previous), 1e-4, 1.0 - 1e-4)
        return np.log(chance / (1.0 - chance)).astype(np.float32)


def reach(walk: Walk, seeds: Seeds, previous: FloatArray | None = None) -> NDArray[np.float64]:
    """Each pixel's probability ``(H, W)``; ``previous`` is a guess to start from."""
    from scipy import sparse
    from scipy.sparse.linalg import cg

    chance = seeds.on.astype(np.float64)
    free = np.flatnonzero(~(seeds.on | seeds.off))
    if len(free) and seeds.on.any() and seeds.off.any():
        rows = walk.laplacian[free]
        equations = rows[:, free]
        pull = -(rows @ chance.ravel())
        start = None if previous is None else previous.ravel()[free].astype(np.float64)
        scale = sparse.diags_array(1.0 / equations.diagonal())
        found, _ = cg(equations, pull, x0=start, rtol=CLOSE, M=scale)
        chance.ravel()[free] = found
    return chance


def laplacian(image: ImageArray) -> Any:
    """Of the grid of pixels, with ``exp(-BETA * contrast)`` between neighbours, contrast as scikit-image scales it."""
    from scipy import sparse

    colours = image.astype(np.float64) / 255.0
    numbers = np.arange(colours[..., 0].size).reshape(image.shape[:2])
    pairs = [(numbers[:, :-1], numbers[:, 1:]), (numbers[:-1], numbers[1:])]
    steps = [np.square(np.diff(colours, axis=axis)).sum(2).ravel() for axis in (1, 0)]
    contrast = np.concatenate(steps) / (10.0 * max(float(colours.std()), 1e-6) * np.sqrt(3.0))
    weights = np.exp(-BETA * contrast) + LEAST
    one = np.concatenate([first.ravel() for first, _ in pairs])
    other = np.concatenate([second.ravel() for _, second in pairs])
    size = (numbers.size, numbers.size)
    edges = sparse.coo_array((weights, (one, other)), size).tocsr()
    edges = edges + edges.T
    return (sparse.diags_array(edges.sum(axis=1)) - edges).tocsr()
