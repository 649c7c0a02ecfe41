"""The cost of measuring one interaction: the robot user, both IoUs and encoding the mask, at 640x480.

Run with ``python benchmarks/bench_cost.py``; no data set is needed.
"""

from __future__ import annotations

import time

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core import metrics, robot
from saywhere.core.rle import RunLengths

REPEATS = 200
HEIGHT, WIDTH = 480, 640


def blob(rng: np.random.Generator, roughness: float) -> NDArray[np.float32]:
    """Smooth noise: its positive part is a few uneven blobs."""
    noise = cv2.GaussianBlur(rng.normal(size=(HEIGHT, WIDTH)).astype(np.float32), (0, 0), roughness)
    return np.asarray(noise / noise.std(), np.float32)


def main() -> None:
    cv2.setNumThreads(1)
    rng = np.random.default_rng(0)
    spent: dict[str, list[float]] = {"robot": [], "IoU": [], "boundary IoU": [], "run lengths": [], "all": []}
    for repeat in range(REPEATS + 5):
        shape = blob(rng, 40.0)
        target = shape > 0.5
        # With a wrong outline, holes and spots.
        predicted = shape + 0.4 * blob(rng, 8.0) + 0.2 * blob(rng, 2.0) > 0.5
        stamps = [time.perf_counter()]
        robot.next_click(target, predicted)
        stamps.append(time.perf_counter())
        metrics.iou(predicted, target)
        stamps.append(time.perf_counter())
        metrics.boundary_iou(predicted, target)
        stamps.append(time.perf_counter())
        RunLengths.from_mask(predicted)
        stamps.append(time.perf_counter())
        if repeat >= 5:  # the first few warm caches
            for name, ms in zip(spent, 1000.0 * np.diff(stamps), strict=False):
                spent[name].append(float(ms))
            spent["all"].append(1000.0 * (stamps[-1] - stamps[0]))
    for name, times in spent.items():
        median, late = np.percentile(times, [50, 95])
        print(f"{name:14} {median:5.2f} ms median, {late:5.2f} ms p95")


if __name__ == "__main__":
    main()
