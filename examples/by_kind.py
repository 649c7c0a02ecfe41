"""Figures of a benchmark run by kind of object: parts of others, whole ones, small whole ones.

    .venv/bin/python examples/by_kind.py photos-7k:val runs/val.json

A part lies, by 80 % or more, inside a labelled object at least half as large again; small is under 3 % of the
photograph.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

from saywhere.benchmark.compare import read_figures
from saywhere.benchmark.figures import per_object
from saywhere.datasets import Sample, load_dataset
from saywhere.training.crops import parts_of

SMALL = 0.03


def kinds(samples: list[Sample]) -> dict[str, str]:
    """Each object's kind, by its name."""
    by_photo = defaultdict(list)
    for sample in samples:
        by_photo[sample.photo].append(sample)
    found = {}
    for some in by_photo.values():
        packed = [coco_mask.encode(np.asfortranarray(s.target(), dtype=np.uint8)) for s in some]
        areas = coco_mask.area(packed).astype(np.float64)
        for sample, is_part, area, rle in zip(some, parts_of(packed, areas), areas, packed, strict=True):
            share = area / (rle["size"][0] * rle["size"][1])
            found[sample.name] = "part" if is_part else "small whole" if share < SMALL else "whole"
    return found


def main(data: str, run: str) -> None:
    figures = read_figures(Path(run))
    kind_of = kinds(load_dataset(data))
    for kind in sorted(set(kind_of.values())):
        ious = {name: some for name, some in figures["ious"].items() if kind_of[name] == kind}
        metrics = per_object(figures["most_interactions"])
        for name, some in ious.items():
            for metric in metrics.values():
                metric.update(name, some)
        if ious:
            noc, miou = metrics["noc90"].compute(), metrics["miou1"].compute()
            print(f"{kind:12} {len(ious):4} objects, NoC@90 {noc:5.2f}, mIoU@1 {miou:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
