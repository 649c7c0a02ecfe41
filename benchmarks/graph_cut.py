"""Graph cut by SciPy's maximum flow against PyMaxflow's: masks and milliseconds on GrabCut, in turns in one run.

    pip install PyMaxflow        # GPL: to compare with, never a dependency
    SAYWHERE_DATA=DATA python benchmarks/graph_cut.py

Two problems at 320x320 for each image: the seeds of a click on the object and one off it (the method "graph-cut"), and
a network's logits (the refinement "graph-cut"), made here of the ground truth, blurred and with noise.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Any

import cv2
import maxflow
import numpy as np

from saywhere.core import graphcut
from saywhere.core.images import read_image
from saywhere.core.prompt import Click, Prompt
from saywhere.data.datasets import load_dataset
from saywhere.runtime.classical.base import COLOUR_RADIUS, Seeds
from saywhere.runtime.classical.colours import colour_costs

SIZE = (320, 320)
HARD = 1e6


def cut_by_pymaxflow(
    image: np.ndarray,
    object_cost: np.ndarray,
    background_cost: np.ndarray,
    object_seeds: np.ndarray | None = None,
    background_seeds: np.ndarray | None = None,
    smoothness: float = graphcut.SMOOTHNESS,
) -> np.ndarray:
    """What :func:`saywhere.core.graphcut.cut` did with PyMaxflow, in float64."""
    none = np.zeros(image.shape[:2], np.bool_)
    object_seeds = none if object_seeds is None else object_seeds
    background_seeds = none if background_seeds is None else background_seeds
    horizontal, vertical = graphcut.boundary_weights(image, smoothness)
    graph = maxflow.Graph[float]()
    nodes = graph.add_grid_nodes(image.shape[:2])
    weights = np.zeros(image.shape[:2])
    weights[:, :-1] = horizontal
    graph.add_grid_edges(nodes, weights, np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]]), symmetric=True)
    weights = np.zeros(image.shape[:2])
    weights[:-1] = vertical
    graph.add_grid_edges(nodes, weights, np.array([[0, 0, 0], [0, 0, 0], [0, 1, 0]]), symmetric=True)
    source = np.where(background_seeds, HARD, np.where(object_seeds, 0.0, object_cost))
    sink = np.where(object_seeds, HARD, np.where(background_seeds, 0.0, background_cost))
    graph.add_grid_tedges(nodes, source, sink)
    graph.maxflow()
    return np.asarray(graph.get_grid_segments(nodes), np.bool_)


def seeded(image: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """The problem after a click at the object's centre and one at the background's."""
    clicks = []
    for region, positive in ((target, True), (~target, False)):
        y, x = np.unravel_index(cv2.distanceTransform(region.astype(np.uint8), cv2.DIST_L2, 5).argmax(), region.shape)
        clicks.append(Click(float(x), float(y), positive))
    prompt = Prompt(tuple(clicks))
    seeds = Seeds.from_prompt(prompt, SIZE).with_border()
    on, off = colour_costs(image, Seeds.from_prompt(prompt, SIZE, COLOUR_RADIUS))
    return {
        "object_cost": on,
        "background_cost": off,
        "object_seeds": seeds.foreground,
        "background_seeds": seeds.background,
    }


def refined(image: np.ndarray, target: np.ndarray) -> dict[str, Any]:
    """The problem of blurred logits with noise in patches."""
    rng = np.random.default_rng(0)
    noise = cv2.resize(rng.normal(0, 3, (20, 20)).astype(np.float32), SIZE[::-1], interpolation=cv2.INTER_CUBIC)
    logits = np.clip(12 * (cv2.GaussianBlur(target.astype(np.float32), (0, 0), 8) - 0.5) + noise, -8, 8)
    costs = {"object_cost": np.logaddexp(0, -logits), "background_cost": np.logaddexp(0, logits)}
    return {**{name: cost.astype(np.float64) for name, cost in costs.items()}, "smoothness": 2.0}


def timed(method: Callable[..., np.ndarray], image: np.ndarray, problem: dict[str, Any]) -> tuple[np.ndarray, float]:
    started = time.perf_counter()
    mask = method(image, **problem)
    return mask, 1000.0 * (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", default="grabcut")
    parser.add_argument("--limit", type=int)
    given = parser.parse_args()
    samples = load_dataset(given.data)[: given.limit]
    columns = ("problem", "images", "equal pixels", "lowest IoU", "median IoU", "SciPy ms", "PyMaxflow ms")
    print("|" + "|".join(f" {column} " for column in columns) + "|")
    print("|" + "---|" * len(columns))
    for name, build in (("seeds of two clicks", seeded), ("refinement of logits", refined)):
        equal, ious, spent = [], [], {"scipy": [], "pymaxflow": []}
        for sample in samples:
            image = cv2.resize(read_image(sample.image_path), SIZE[::-1], interpolation=cv2.INTER_AREA)
            mask = sample.target().astype(np.uint8)
            target = cv2.resize(mask, SIZE[::-1], interpolation=cv2.INTER_NEAREST) > 0
            problem = build(image, target)
            ours, took = timed(graphcut.cut, image, problem)
            theirs, their_took = timed(cut_by_pymaxflow, image, problem)
            spent["scipy"].append(took)
            spent["pymaxflow"].append(their_took)
            equal.append(float((ours == theirs).mean()))
            union = (ours | theirs).sum()
            ious.append(float((ours & theirs).sum() / union) if union else 1.0)
        times = [
            f"{np.percentile(spent[key], 50):.0f} / {np.percentile(spent[key], 95):.0f}"
            for key in ("scipy", "pymaxflow")
        ]
        print(
            f"| {name} | {len(samples)} | {100 * np.mean(equal):.4f}% | {min(ious):.5f} | {np.median(ious):.5f} "
            f"| {times[0]} | {times[1]} |"
        )


if __name__ == "__main__":
    main()
