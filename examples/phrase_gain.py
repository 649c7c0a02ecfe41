"""What a phrase adds to one click: mIoU with one click, and with one click and the phrase, by kind of object.

    saywhere bench --data photos-7k:val --clicks 2 --json runs/click.json
    saywhere bench --data photos-7k:val --clicks 2 --phrase own --json runs/own.json
    saywhere bench --data photos-7k:val --clicks 2 --phrase wrong --json runs/wrong.json
    .venv/bin/python examples/phrase_gain.py photos-7k:val runs/click.json runs/own.json runs/wrong.json

A part lies, by 80 % or more, inside a labelled object at least half as large again. An object is ambiguous when its
click also lies in another labelled object. With --seen FILE (labels that were trained on, one a line), seen and unseen
labels are told apart too. Differences are paired, with 95 % bootstrap intervals over objects.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path

from by_kind import kinds

from saywhere.core import robot
from saywhere.core.metrics import interval
from saywhere.data.datasets import Sample, load_dataset
from saywhere.evaluation.compare import read_figures


def ambiguous(samples: list[Sample]) -> set[str]:
    """The objects whose first click also lies in another labelled object of the photograph."""
    by_photo = defaultdict(list)
    for sample in samples:
        by_photo[sample.image_path].append(sample)
    found = set()
    for some in by_photo.values():
        masks = [sample.target() for sample in some]
        for i, sample in enumerate(some):
            click = robot.first_click(masks[i], sample.ignore())
            at = int(click.y), int(click.x)
            if any(mask[at] for j, mask in enumerate(masks) if j != i):
                found.add(sample.name)
    return found


def after(run: dict, name: str) -> float:
    """The IoU after the click, and after the phrase where one was said."""
    ious = run["ious"][name]
    return ious[min(2 if run["phrase"] else 1, len(ious)) - 1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("runs", nargs="+", type=Path, help="figures: the first with clicks only")
    parser.add_argument("--seen", type=Path, help="labels that were trained on, one a line")
    options = parser.parse_args()
    samples = load_dataset(options.data)
    clicks, *spoken = (read_figures(path) for path in options.runs)
    measured = [s for s in samples if s.name in clicks["ious"]]
    kind_of, unclear = kinds(samples), ambiguous(samples)
    groups = {
        "all": [s.name for s in measured],
        "ambiguous": [s.name for s in measured if s.name in unclear],
        "not ambiguous": [s.name for s in measured if s.name not in unclear],
        "parts": [s.name for s in measured if kind_of[s.name] == "part"],
        "whole": [s.name for s in measured if kind_of[s.name] != "part"],
    }
    if options.seen:
        seen = set(options.seen.read_text().splitlines())
        groups["seen labels"] = [s.name for s in measured if s.label in seen]
        groups["unseen labels"] = [s.name for s in measured if s.label not in seen]
    for run in spoken:
        print(f"one click, then the phrase ({run['phrase']}), {run['model']}")
        for group, names in groups.items():
            before, now = ([after(r, name) for name in names] for r in (clicks, run))
            gains = [100.0 * (b - a) for a, b in zip(before, now, strict=True)]
            low, high = interval(gains)
            means = [100.0 * sum(values) / len(values) for values in (before, now)]
            gain = sum(gains) / len(gains)
            print(
                f"  {group:14} {len(names):5} objects  {means[0]:5.1f} -> {means[1]:5.1f}"
                f"  {gain:+5.1f} ({low:+.1f} to {high:+.1f})"
            )


if __name__ == "__main__":
    main()
