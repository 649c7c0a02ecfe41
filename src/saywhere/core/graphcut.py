"""Minimum cut of an image into object and background (Boykov and Jolly 2001), with SciPy's maximum flow.

SciPy's solver (Dinic's algorithm) takes whole 32-bit capacities: costs are scaled so that the largest becomes
``LARGEST``, about 1e9, and rounded. A cost is exact to half of ``largest cost / LARGEST``, less than a float32 keeps.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.errors import needing

SMOOTHNESS = 120.0  # weight of a boundary between neighbours of the same colour against the colour models
LARGEST = 2**30 - 1  # an edge and its reverse together still fit into 32 bits


def cut(
    image: ImageArray,
    object_cost: NDArray[np.float64],
    background_cost: NDArray[np.float64],
    object_seeds: BoolArray | None = None,
    background_seeds: BoolArray | None = None,
    smoothness: float = SMOOTHNESS,
) -> BoolArray:
    """The cheapest division of an image into object and background.

    It minimises the cost of each pixel on its side plus ``smoothness * exp(-beta * |colour difference|^2)`` for each
    pair of neighbours (4-connected, CIE Lab) on different sides, ``beta = 1 / (2 * mean |colour difference|^2)``.

    Args:
        image: ``(H, W, 3)`` RGB, uint8.
        object_cost: ``(H, W)``, what each pixel costs on the object.
        background_cost: ``(H, W)``, what each pixel costs on the background.
        object_seeds: ``(H, W)``, pixels that must be on the object.
        background_seeds: ``(H, W)``, pixels that must be on the background; they win over ``object_seeds``.
        smoothness: weight of a boundary between neighbours of the same colour.

    Returns:
        ``(H, W)``, True on the object. Where two divisions cost the same, the one with the smaller object.

    Raises:
        SaywhereError: SciPy is not installed.
    """
    with needing("bench", "graph cut"):
        from scipy import sparse
        from scipy.sparse.csgraph import breadth_first_order, maximum_flow
    height, width = image.shape[:2]
    horizontal, vertical = boundary_weights(image, smoothness)
    # Seeds cost more than all edges of a pixel together, so no cut pays for them.
    hard = 4.0 * smoothness + 1.0
    # Only the difference of a pixel's two costs matters. Positive: it is cheaper on the object.
    gain = np.asarray(background_cost, np.float64) - object_cost
    if object_seeds is not None:
        gain = np.where(object_seeds, hard, gain)
    if background_seeds is not None:
        gain = np.where(background_seeds, -hard, gain)
    # A gain beyond all edges of a pixel decides it, however large: bounded, it costs no resolution.
    gain = np.clip(gain, -hard, hard)
    scale = LARGEST / hard

    pixels = np.arange(height * width, dtype=np.int32).reshape(height, width)
    ends = [(pixels[:, :-1], pixels[:, 1:], horizontal), (pixels[:-1], pixels[1:], vertical)]
    first = np.concatenate([one.ravel() for one, _, _ in ends])
    second = np.concatenate([other.ravel() for _, other, _ in ends])
    between = capacities(np.concatenate([weights.ravel() for _, _, weights in ends]), scale)
    terminal = capacities(gain.ravel(), scale)
    # The source is the object: a pixel that the flow leaves connected to it belongs to the object.
    source, sink = pixels.size, pixels.size + 1
    gains, losses = np.flatnonzero(terminal > 0), np.flatnonzero(terminal < 0)
    if not len(gains):
        return np.zeros((height, width), np.bool_)
    rows = np.concatenate([first, second, np.full(len(gains), source), losses])
    columns = np.concatenate([second, first, gains, np.full(len(losses), sink)])
    values = np.concatenate([between, between, terminal[gains], -terminal[losses]])
    graph = sparse.csr_array((values, (rows, columns)), shape=(sink + 1, sink + 1))
    residual = (graph - maximum_flow(graph, source, sink).flow).tocsr()
    residual.eliminate_zeros()
    reached = breadth_first_order(residual, source, return_predecessors=False)
    inside = np.zeros(sink + 1, np.bool_)
    inside[reached] = True
    return inside[: pixels.size].reshape(height, width)


def boundary_weights(image: ImageArray, smoothness: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The cost of a boundary between neighbours: to the right ``(H, W - 1)`` and below ``(H - 1, W)``."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    horizontal, vertical = (np.square(np.diff(lab, axis=axis)).sum(2).astype(np.float64) for axis in (1, 0))
    contrast = np.concatenate([horizontal.ravel(), vertical.ravel()])
    beta = 1.0 / max(2.0 * float(contrast.mean()), 1e-6) if contrast.size else 1.0
    return smoothness * np.exp(-beta * horizontal), smoothness * np.exp(-beta * vertical)


def capacities(costs: NDArray[np.float64], scale: float) -> NDArray[np.int32]:
    """Costs as whole numbers."""
    return np.rint(costs * scale).astype(np.int32)
