"""Interactive graph cut (Boykov and Jolly 2001): colour models of the seeds and the contrast between neighbours."""

from __future__ import annotations

import cv2
import maxflow
import numpy as np
from numpy.typing import NDArray

from saywhere.classical.base import COLOURS, Float, Seeds, decided, held_together
from saywhere.classical.colours import colour_costs
from saywhere.images import Photo
from saywhere.prompt import Prompt

SMOOTHNESS = 120.0  # weight of a boundary between alike neighbours against the colour models
HARD = 1e6


class GraphCut:
    """Minimum cut of ``sum -log P(colour | side) + SMOOTHNESS * sum exp(-contrast)`` with the seeds fixed."""

    name, digest, phrases = "graph-cut", "", False

    def encode(self, image: Photo) -> Photo:
        return image

    def decode(self, features: Photo, prompt: Prompt, previous: Float | None) -> Float:
        seeds = Seeds.of(prompt, features.shape[:2])
        on, off = colour_costs(features, Seeds.of(prompt, features.shape[:2], COLOURS))
        return decided(held_together(cut(features, on, off, seeds.with_border()), seeds.on))


def cut(
    image: Photo, on: NDArray[np.float64], off: NDArray[np.float64], seeds: Seeds, smoothness: float = SMOOTHNESS
) -> NDArray[np.bool_]:
    """The cheapest division given each pixel's cost of lying ``on`` and ``off`` the object, ``(H, W)`` each."""
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
    source = np.where(seeds.off, HARD, np.where(seeds.on, 0.0, on))
    sink = np.where(seeds.on, HARD, np.where(seeds.off, 0.0, off))
    graph.add_grid_tedges(nodes, source, sink)
    graph.maxflow()
    return np.asarray(graph.get_grid_segments(nodes), np.bool_)
