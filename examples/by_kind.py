"""Figures of a benchmark run by kind of object (parts of others, whole ones, small whole ones) and by data set.

    .venv/bin/python examples/by_kind.py photos-7k:val runs/val.json
    .venv/bin/python examples/by_kind.py photos-7k:val runs/before.json runs/after.json

A part lies, by 80 % or more, inside a labelled object at least half as large again; small is under 3 % of the
photograph. Of two runs the second's figures stand behind the first's, and then the paired difference. Intervals are
95 % bootstrap intervals over objects.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from saywhere.core.metrics import interval
from saywhere.core.rle import RunLengths
from saywhere.data.datasets import Sample, load_dataset
from saywhere.evaluation.compare import read_figures
from saywhere.evaluation.summary import per_object
from saywhere.training.targets import lies_inside_another

SMALL = 0.03


def kinds(samples: list[Sample]) -> dict[str, str]:
    """Each object's kind, by its name."""
    by_photo = defaultdict(list)
    for sample in samples:
        by_photo[sample.image_path].append(sample)
    found = {}
    for some in by_photo.values():
        regions = [RunLengths.from_mask(sample.target()) for sample in some]
        for sample, is_part, region in zip(some, lies_inside_another(regions), regions, strict=True):
            share = region.area / (region.height * region.width)
            found[sample.name] = "part" if is_part else "small whole" if share < SMALL else "whole"
    return found


def values_of(figures: dict[str, Any], figure: str, names: list[str]) -> list[float]:
    metric = per_object(figures["most_interactions"])[figure]
    for name in names:
        metric.update(name, figures["ious"][name])
    return [metric.values[name] for name in names]


def told(values: list[list[float]], form: str) -> str:
    """The mean of each run; of one its interval too, of two their difference's."""
    means = " → ".join(f"{sum(some) / len(some):{form}}" for some in values)
    differences = values[0] if len(values) == 1 else [b - a for a, b in zip(*values, strict=True)]
    low, high = interval(differences)
    sign = "+" if len(values) > 1 else ""
    return f"{means} ({low:{sign}{form}} to {high:{sign}{form}})"


def main(data: str, *runs: str) -> None:
    figures = [read_figures(Path(run)) for run in runs]
    samples = load_dataset(data)
    kind_of, set_of = kinds(samples), {sample.name: sample.group for sample in samples}
    measured = sorted(figures[0]["ious"])
    if any(sorted(other["ious"]) != measured for other in figures):
        sys.exit("by_kind: these runs measured other objects; give runs with the same --limit")
    for groups in (kind_of, set_of):
        names_of = defaultdict(list)
        for name in measured:
            names_of[groups[name]].append(name)
        for group, names in sorted(names_of.items(), key=lambda item: -len(item[1])):
            noc, miou = ([values_of(some, f, names) for some in figures] for f in ("noc90", "miou1"))
            print(f"{group:17} {len(names):4} objects, NoC@90 {told(noc, '.2f')}, mIoU@1 {told(miou, '.3f')}")
        print()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    main(*sys.argv[1:])
