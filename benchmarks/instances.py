"""All instances of a label in a photograph: the share that is found, and how many of the proposed objects are right.

    python benchmarks/instances.py photos-7k:val
    python benchmarks/instances.py photos-7k:val --half 1 --example

Of labels with at least three objects in a photograph, the label in words is the phrase. A proposed object is right if
its IoU with an object of the label that no better proposal has is at least 0.5. The thresholds were chosen on half 0.
The same number of photographs is asked for a label that they are not known to show.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import saywhere
from saywhere.core import metrics
from saywhere.core.arrays import BoolArray
from saywhere.core.images import read_image
from saywhere.data.datasets import Sample, load_dataset
from saywhere.errors import PhraseError
from saywhere.evaluation.benchmark import spread
from saywhere.evaluation.phrases import PhraseMode, with_phrases
from saywhere.interactive.instances import Instance
from saywhere.runtime.threads import set_threads

LEAST_INSTANCES, LEAST_IOU = 3, 0.5
SCORES = (0.5, 0.6, 0.7)


@dataclass(frozen=True)
class Outcome:
    """What was found for one label of one photograph.

    ``found`` says of each object whether it was found, ``right`` of each proposed object whether it is one; ``scores``
    are theirs.
    """

    image: str
    phrase: str
    found: list[bool]
    right: list[bool]
    scores: list[float]
    seconds: float


def by_label(samples: Sequence[Sample]) -> list[list[int]]:
    """The indices of the objects of each label of each photograph."""
    groups = defaultdict(list)
    for number, sample in enumerate(samples):
        groups[sample.image_path, sample.label].append(number)
    return list(groups.values())


def matched(instances: Sequence[Instance], targets: Sequence[BoolArray]) -> tuple[list[bool], list[bool]]:
    """Which targets are found, and which instances, the best first, are right."""
    found, right = [False] * len(targets), []
    for instance in instances:
        mask = instance.mask.array
        ious = [-1.0 if seen else metrics.iou(mask, target) for target, seen in zip(targets, found, strict=True)]
        best = int(np.argmax(ious)) if ious else -1
        right.append(best >= 0 and ious[best] >= LEAST_IOU)
        if right[-1]:
            found[best] = True
    return found, right


def look_for(
    segmenter: saywhere.Segmenter, sequence: saywhere.Sequence | None, path: Path, phrase: str,
    targets: Sequence[BoolArray],
) -> Outcome:  # fmt: skip
    """Look for a phrase; with a sequence the first target is accepted before, and the others are to be found."""
    image = read_image(path)
    started = time.perf_counter()
    if sequence is None:
        instances = segmenter.set_image(image).instances(phrase)
    else:
        sequence.propose(image)
        sequence.accept(targets[0])
        targets = targets[1:]
        instances = sequence.instances(phrase)
    seconds = time.perf_counter() - started
    found, right = matched(instances, targets)
    return Outcome(path.name, phrase, found, right, [round(one.score, 4) for one in instances], round(seconds, 3))


def share(values: Sequence[bool]) -> str:
    """A share with its interval."""
    if not values:
        return "none"
    low, high = metrics.bootstrap_interval([float(value) for value in values])
    return f"{np.mean(values):.3f} ({low:.3f} to {high:.3f}; {sum(values)} of {len(values)})"


def main() -> None:
    """Measure, and print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data")
    parser.add_argument("--half", type=int, choices=(0, 1), help="every other label only, from this one on")
    parser.add_argument("--limit", type=int, help="labels at most, evenly spread")
    parser.add_argument("--example", action="store_true", help="one object of each label is known: find the others")
    parser.add_argument("--absent", type=int, default=40, help="photographs asked for a label that they do not show")
    parser.add_argument("--weights")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", type=Path, help="where to write the outcome of each label")
    given = parser.parse_args()
    set_threads(given.threads)
    segmenter = saywhere.load(given.weights)
    samples = load_dataset(given.data)
    own, wrong = (with_phrases(samples, mode) for mode in (PhraseMode.OWN, PhraseMode.WRONG))
    groups = by_label(samples)
    many = [group for group in groups if len(group) >= LEAST_INSTANCES][
        given.half or 0 :: 1 if given.half is None else 2
    ]
    many = [many[i] for i in spread(len(many), given.limit or len(many))]
    single = [group for group in groups if len(group) < LEAST_INSTANCES]
    outcomes, absent, unknown = [], [], 0
    for group in many:
        sample = samples[group[0]]
        targets = [samples[number].target() for number in group]
        sequence = saywhere.Sequence(segmenter, sample.label or "", folder=None) if given.example else None
        try:
            outcomes.append(look_for(segmenter, sequence, sample.image_path, own[group[0]].phrase or "", targets))
        except PhraseError:
            unknown += 1
        finally:
            if sequence is not None:
                sequence.close()
    for i in spread(len(single), given.absent):
        sample = samples[single[i][0]]
        try:
            absent.append(look_for(segmenter, None, sample.image_path, wrong[single[i][0]].phrase or "", []))
        except PhraseError:
            unknown += 1
    print(f"{len(outcomes)} labels with at least {LEAST_INSTANCES} objects in a photograph; {unknown} of unknown words")
    print(f"found at IoU {LEAST_IOU}: {share([one for outcome in outcomes for one in outcome.found])}")
    print(f"precision: {share([one for outcome in outcomes for one in outcome.right])}")
    for least in SCORES:
        right = [
            one for outcome in outcomes for one, score in zip(outcome.right, outcome.scores, strict=True)
            if score >= least
        ]  # fmt: skip
        objects = sum(len(outcome.found) for outcome in outcomes)
        print(f"  with scores from {least}: found {sum(right) / objects:.3f}, precision {share(right)}")
    if absent:
        print(f"none proposed for a label that is not there: {share([not outcome.right for outcome in absent])}")
    print(f"seconds for a label: {np.median([outcome.seconds for outcome in outcomes]):.2f} median")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        content = {"labels": [asdict(one) for one in outcomes], "absent": [asdict(one) for one in absent]}
        given.json.write_text(json.dumps(content, indent=1))


if __name__ == "__main__":
    main()
