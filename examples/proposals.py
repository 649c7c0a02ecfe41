"""How often the first click that a sequence proposes in a photograph is on an object of its label, by what is compared.

    python examples/proposals.py photos-7k:val 12

Labels of at least 12 objects, at most 25 photographs each, in the data set's order; every object before has given its
true first click to the bank, and nothing is learned.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

import saywhere
from saywhere.core import robot
from saywhere.core.prompt import Click, Prompt
from saywhere.data.datasets import Sample, load_dataset
from saywhere.interactive.sequence import proposal

LEVELS = {"R1": (0,), "R2": (1,), "R3": (2,), "R4": (3,), "R3+R4": (2, 3), "R-MS": (0, 1, 2, 3)}
FILTERS = (0.0, 1 / 24, 1 / 16, 1 / 12, 1 / 6)


def hits(
    segmenter: saywhere.Segmenter, photos: dict[Path, list[Sample]], tried: list[tuple[str, float]]
) -> list[list[bool]]:
    """For each thing that is tried, whether each photograph's first proposal was right."""
    runtime = segmenter.runtime
    bank: list[list[np.ndarray]] = [[] for _ in runtime.strides]
    found: list[list[bool]] = [[] for _ in tried]
    for photo, samples in photos.items():
        supervised = segmenter.set_image(photo).supervised
        pure = runtime.levels(supervised.features(supervised.whole), "pure")
        targets = [sample.target() for sample in samples]
        if bank[0]:
            size = supervised.whole.height, supervised.whole.width
            maps = [
                proposal.confidence_map([level], [np.stack(vectors)], [stride], size)
                for level, vectors, stride in zip(pure, bank, runtime.strides, strict=True)
            ]
            for row, (name, share) in enumerate(tried):
                mean = np.mean([maps[level] for level in LEVELS[name]], axis=0)
                whole = supervised.whole.to_image(mean, supervised.size, 0.0)
                reach = int(share * max(supervised.size)) // 2 * 2 + 1
                best = proposal.best_click(whole, np.zeros(supervised.size, np.bool_), reach)
                assert best is not None
                found[row].append(any(target[int(best[0].y), int(best[0].x)] for target in targets))
        for target in targets:
            (seen,) = supervised.whole.to_crop(Prompt((robot.first_click(target),))).clicks
            for level, vectors, stride in zip(pure, bank, runtime.strides, strict=True):
                vectors.append(vector(level, seen, stride))
    return found


def vector(level: np.ndarray, click: Click, stride: int) -> np.ndarray:
    row, column = proposal.cell(click, stride, level.shape[1:])
    return level[:, row, column].copy()


def main(data: str, least: int) -> None:
    labels: dict[str, dict[Path, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in load_dataset(data):
        labels[str(sample.label)][sample.image_path].append(sample)
    tried = [(name, 1 / 16) for name in LEVELS] + [("R3+R4", share) for share in FILTERS]
    segmenter = saywhere.load()
    all_hits: list[list[bool]] = [[] for _ in tried]
    for photos in labels.values():
        if sum(map(len, photos.values())) >= least:
            some = dict(list(photos.items())[:25])
            for row, found in zip(all_hits, hits(segmenter, some, tried), strict=True):
                row += found
    for (name, share), found in zip(tried, all_hits, strict=True):
        print(f"{name:6} filter {share:.3f}: {np.mean(found):.3f} of {len(found)} first proposals on an object")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
