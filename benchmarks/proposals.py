"""How often the first click that a sequence proposes in an image lies on an object of its label, by feature level.

    python benchmarks/proposals.py photos-7k:val 12

Labels of at least 12 objects, at most 25 images each, in the data set's order; the memory bank holds the true first
clicks of all objects before, and nothing is learned.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np

import saywhere
from saywhere.core import robot
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Click, Prompt
from saywhere.data.datasets import Sample, load_dataset
from saywhere.interactive.sequence import proposal

LEVELS = {"R1": (0,), "R2": (1,), "R3": (2,), "R4": (3,), "R3+R4": (2, 3), "R-MS": (0, 1, 2, 3)}
FILTERS = (0.0, 1 / 24, 1 / 16, 1 / 12, 1 / 6)


def hits(
    segmenter: saywhere.Segmenter, images: dict[Path, list[Sample]], variants: list[tuple[str, float]]
) -> list[list[bool]]:
    """For each variant, whether each image's first proposal was right."""
    runtime = segmenter.runtime
    strides = runtime.capabilities.purification_strides
    bank: list[list[np.ndarray]] = [[] for _ in strides]
    right: list[list[bool]] = [[] for _ in variants]
    for image, samples in images.items():
        encoded = segmenter.set_image(image).encoded
        crop = encoded.full_crop
        pure = runtime.levels(encoded.features(crop), "pure")
        targets = [sample.target() for sample in samples]
        if bank[0]:
            size = ImageSize(crop.height, crop.width)
            maps = [
                proposal.confidence_map([level], [np.stack(vectors)], [stride], size)
                for level, vectors, stride in zip(pure, bank, strides, strict=True)
            ]
            for row, (name, share) in enumerate(variants):
                mean = np.mean([maps[level] for level in LEVELS[name]], axis=0)
                confidence = crop.to_image(mean, encoded.size, 0.0)
                reach = int(share * max(encoded.size)) // 2 * 2 + 1
                best = proposal.propose_click(confidence, np.zeros(encoded.size, np.bool_), reach)
                assert best is not None
                right[row].append(any(target[int(best[0].y), int(best[0].x)] for target in targets))
        for target in targets:
            (click,) = crop.to_crop(Prompt((robot.first_click(target),))).clicks
            for level, vectors, stride in zip(pure, bank, strides, strict=True):
                vectors.append(vector(level, click, stride))
    return right


def vector(level: np.ndarray, click: Click, stride: int) -> np.ndarray:
    row, column = proposal.cell_at(click, stride, level.shape[1:])
    return level[:, row, column].copy()


def main(data: str, least: int) -> None:
    labels: dict[str, dict[Path, list[Sample]]] = defaultdict(lambda: defaultdict(list))
    for sample in load_dataset(data):
        labels[str(sample.label)][sample.image_path].append(sample)
    variants = [(name, 1 / 16) for name in LEVELS] + [("R3+R4", share) for share in FILTERS]
    segmenter = saywhere.load()
    all_hits: list[list[bool]] = [[] for _ in variants]
    for images in labels.values():
        if sum(map(len, images.values())) >= least:
            first = dict(list(images.items())[:25])
            for row, right in zip(all_hits, hits(segmenter, first, variants), strict=True):
                row += right
    for (name, share), right in zip(variants, all_hits, strict=True):
        print(f"{name:6} filter {share:.3f}: {np.mean(right):.3f} of {len(right)} first proposals on an object")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
