"""Interactive graph cut (Boykov and Jolly 2001): colour models of the seeds and the contrast between neighbours."""

from __future__ import annotations

import cv2
import maxflow
import numpy as np
from numpy.typing import NDArray

from saywhere.classical.base import Float, Seeds, decided
from saywhere.images import Photo
from saywhere.prompt import Prompt

BINS = 8  # of each colour channel in the histograms
SMOOTHNESS = 50.0  # weight of a boundary between alike neighbours against the colour models
HARD = 1e6


class GraphCut:
    """Minimum cut of ``sum -log P(colour | side) + SMOOTHNESS * sum exp(-contrast)`` with the seeds fixed."""

    name, digest, phrases = "graph-cut", "", False

    def encode(self, image: Photo) -> Photo:
        return image

    def decode(self, features: Photo, prompt: Prompt, previous: Float | None) -> Float:
        seeds = Seeds.of(prompt, features.shape[:2])
        on = colour_cost(features, seeds.on)
        # Without a word of what is off the object, everything is a sample of it: most of a photograph is.
        off = colour_cost(features, seeds.off if seeds.off.any() else ~seeds.on)
        return decided(cut(features, on, off, seeds))


def colour_cost(image: Photo, where: NDArray[np.bool_]) -> NDArray[np.float64]:
    """``-log`` of each pixel's colour in the smoothed histogram of the pixels ``where``."""
    codes = (image // (256 // BINS)).astype(np.int64) @ np.array([BINS * BINS, BINS, 1])
    histogram = np.bincount(codes[where], minlength=BINS**3).astype(np.float64).reshape(BINS, BINS, BINS)
    for axis in range(3):
        padded = np.pad(histogram, [(1, 1) if a == axis else (0, 0) for a in range(3)])
        below, at, above = (np.take(padded, range(i, i + BINS), axis=axis) for i in range(3))
        histogram = 0.25 * below + 0.5 * at + 0.25 * above
    probability = (histogram.ravel() + 1e-3) / (histogram.sum() + 1e-3 * BINS**3)
    return -np.log(probability)[codes]


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
