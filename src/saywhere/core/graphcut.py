"""Minimum cut of an image into object and background (Boykov and Jolly 2001)."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.errors import needing

SMOOTHNESS = 120.0  # weight of a boundary between alike neighbours against the colour models


HARD = 1e6


def cut(
    image: ImageArray,
    object_cost: NDArray[np.float64],
    background_cost: NDArray[np.float64],
    object_seeds: BoolArray | None = None,
    background_seeds: BoolArray | None = None,
    smoothness: float = SMOOTHNESS,
) -> BoolArray:
    """The cheapest division of an image into object and background.

    Args:
        image: ``(H, W, 3)`` RGB.
        object_cost: ``(H, W)``, what each pixel costs on the object.
        background_cost: ``(H, W)``, what each pixel costs on the background.
        object_seeds: ``(H, W)``, pixels that must be on the object.
        background_seeds: ``(H, W)``, pixels that must be on the background.
        smoothness: weight of a boundary between neighbours of the same colour.

    Returns:
        ``(H, W)``, True on the object.

    Raises:
        SaywhereError: the extra "bench" is not installed.
    """
    with needing("bench", "graph cut"):
        import maxflow
    none = np.zeros(image.shape[:2], np.bool_)
    object_seeds = none if object_seeds is None else object_seeds
    background_seeds = none if background_seeds is None else background_seeds
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
    graph = maxflow.Graph[float]()
    nodes = graph.add_grid_nodes(image.shape[:2])
    right, down = lab[:, 1:] - lab[:, :-1], lab[1:] - lab[:-1]
    contrast = np.concatenate([(right**2).sum(2).ravel(), (down**2).sum(2).ravel()])
    beta = 1.0 / max(2.0 * float(contrast.mean()), 1e-6) if contrast.size else 1.0
    weights = np.zeros(image.shape[:2])
    if right.size:
        weights[:, :-1] = smoothness * np.exp(-beta * (right**2).sum(2))
        graph.add_grid_edges(nodes, weights, np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]]), symmetric=True)
    if down.size:
        weights = np.zeros(image.shape[:2])
        weights[:-1] = smoothness * np.exp(-beta * (down**2).sum(2))
        graph.add_grid_edges(nodes, weights, np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0]]), symmetric=True)
    # A pixel on the source's side pays its edge to the sink: that side is off the object.
    source = np.where(background_seeds, HARD, np.where(object_seeds, 0.0, object_cost))
    sink = np.where(object_seeds, HARD, np.where(background_seeds, 0.0, background_cost))
    graph.add_grid_tedges(nodes, source, sink)
    graph.maxflow()
    return np.asarray(graph.get_grid_segments(nodes), np.bool_)
