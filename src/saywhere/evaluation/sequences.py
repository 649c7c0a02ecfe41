"""Sequences measured: related objects one after another, with proposals and learning (saywhere bench --sequence).

Sequential Interactive Image Segmentation, section 4: a proposal that lies on an object of the sequence is taken for its
first click and costs no interaction; instead of one that does not, the robot gives its own first click, which counts as
ever.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saywhere.core import metrics, robot
from saywhere.core.metrics import MOST_INTERACTIONS
from saywhere.core.rle import RunLengths
from saywhere.core.settings import Settings
from saywhere.data.datasets import Sample, load_dataset
from saywhere.errors import SaywhereError
from saywhere.evaluation.benchmark import Progress, cost, environment, journal_path, refuse_faults, rounded, spread
from saywhere.evaluation.evaluate import Interaction, photo_of
from saywhere.evaluation.journal import Journal, read_records
from saywhere.evaluation.summary import THRESHOLDS, Records, times
from saywhere.interactive.segmenter import Segmenter
from saywhere.interactive.sequence import Sequence as Learning
from saywhere.interactive.sequence import SequenceOptions
from saywhere.parallel import local as engines
from saywhere.parallel.local import Engine
from saywhere.runtime.base import Runtime
from saywhere.runtime.metadata import run_metadata, set_threads
from saywhere.runtime.registry import find_method, verify_method
from saywhere.runtime.timed import TimedRuntime, milliseconds
from saywhere.storage.atomic import write_atomically
from saywhere.text.words import label_words

Mask = NDArray[np.bool_]
EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # of the curve's parts, in objects annotated before
ONE = "all"  # the label of everything, with --one-label


@dataclass(frozen=True)
class SequenceTask:
    """What is measured. ``until`` is the IoU at which the robot accepts a mask; ``options.seed`` is the first of
    ``seeds``; ``say`` whether the label is said as a phrase, which costs no interaction: it is given once."""

    method: str | None
    data: str
    settings: Settings = field(default_factory=Settings)
    options: SequenceOptions = field(default_factory=lambda: SequenceOptions(interval=2))
    one_label: bool = False
    seeds: int = 1
    until: float = 0.9
    most: int = MOST_INTERACTIONS
    limit: int | None = None
    threads: int = 2
    say: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True)
class Run:
    """One sequence: a label, a seed, and its objects in order."""

    label: str
    seed: int
    samples: tuple[Sample, ...]

    def name(self, sample: Sample) -> str:
        """What an object is called in the journal: it is annotated once for each seed."""
        return f"{sample.name}@{self.seed}"


def runs_of(task: SequenceTask, samples: Sequence[Sample]) -> list[Run]:
    """The sequences of a task; SaywhereError when objects have no labels to tell sequences apart."""
    groups: dict[str, list[Sample]] = {}
    for sample in samples:
        if sample.label is None and not task.one_label:
            raise SaywhereError(f"object '{sample.name}': has no label, so no sequence; add --one-label")
        groups.setdefault(ONE if task.one_label else str(sample.label), []).append(sample)
    if unknown := sorted(set(task.labels) - groups.keys()):
        raise SaywhereError(f"--label {unknown[0]!r}: '{task.data}' has no such label")
    chosen = task.labels or tuple(groups)
    seeds = range(task.options.seed, task.options.seed + task.seeds)
    return [Run(label, seed, tuple(groups[label])) for label in chosen for seed in seeds]


def bench_sequences(
    task: SequenceTask,
    out: Path,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
    command: str = "",
    engine: Engine = Engine.LOCAL,
) -> dict[str, Any]:
    """Measure the sequences of a task; writes figures and interactions as
    :func:`saywhere.evaluation.benchmark.bench` does.

    Sequences are independent of one another; an interrupted one is begun again, and comes to the same interactions.
    """
    samples = load_dataset(task.data)
    samples = [samples[i] for i in spread(len(samples), task.limit)]
    runs = runs_of(task, samples)
    refuse_faults(task.data, [sample for run in runs if run.seed == task.options.seed for sample in run.samples])
    runtime, settings = find_method(task.method, task.settings)
    if not runtime.capabilities.purification_strides:
        raise SaywhereError(f"--sequence: model '{runtime.name}' has no purification layer; use saywhere or sequential")
    traits = run_metadata(runtime, settings, task.threads)
    told = conditions(task, traits) | {"sequences": len(runs)}
    journal = Journal(journal_path(out), told)
    try:
        todo = [run for run in runs if not all(journal.finished(run.name(sample)) for sample in run.samples)]
        total = sum(len(run.samples) for run in runs)
        done = sum(journal.finished(run.name(sample)) for run in runs for sample in run.samples)
        progress(done, total)
        alone = engine is Engine.LOCAL and jobs == 1
        prepare = partial(worker, task, runtime, settings) if alone else partial(remote_worker, task, traits)
        gpu = traits["device"].startswith("cuda")
        for interaction in engines.run(prepare, todo, engine, jobs, task.threads, gpu):
            if journal.append(interaction) and interaction.last:
                done += 1
                progress(done, total)
    finally:
        journal.close()
    records = read_records(journal.path)
    result = told | rounded(figures(records, runs, task)) | cost(runtime, settings) | environment(command, engine, jobs)
    write_atomically(out, json.dumps(result, indent=1).encode())
    return result


def conditions(task: SequenceTask, traits: dict[str, Any]) -> dict[str, Any]:
    """All that could change the figures."""
    told = {key: getattr(task, key) for key in ("data", "one_label", "seeds", "until", "limit", "say", "labels")}
    return {**traits, **told, **asdict(task.options), "most_interactions": task.most, "interaction": "click"}


def remote_worker(task: SequenceTask, traits: dict[str, Any]) -> Callable[[Run], Iterator[Interaction]]:
    """What works through one sequence in another process, with the method that is known by its ``traits``."""
    return worker(task, *verify_method(task.method, task.settings, task.threads, traits))


def worker(task: SequenceTask, runtime: Runtime, settings: Settings) -> Callable[[Run], Iterator[Interaction]]:
    """What works through one sequence in this process."""
    set_threads(task.threads)
    return partial(annotate_all, task, TimedRuntime(runtime), settings)


def annotate_all(task: SequenceTask, timed: TimedRuntime, settings: Settings, run: Run) -> Iterator[Interaction]:
    """The interactions of a sequence, photograph by photograph; the objects of one in the order of the proposals."""
    segmenter = Segmenter(timed, settings)
    phrase = label_words(run.label) if task.say else None
    photos: dict[Path, list[Sample]] = {}
    for sample in run.samples:
        photos.setdefault(sample.photo, []).append(sample)
    options = replace(task.options, seed=run.seed)
    with Learning(segmenter, run.label, None, options, phrase) as learning:
        for samples in photos.values():
            left = [(sample, sample.target(), sample.ignore()) for sample in samples]
            photo: Any = photo_of(samples[0], left[0][1])
            while left:
                timed.take()
                started = time.perf_counter()
                proposed = learning.propose(photo)
                spent, photo = milliseconds(started), None
                hit = None
                if proposed is not None:
                    x, y = int(proposed.x), int(proposed.y)
                    hit = next((i for i, (_, target, _) in enumerate(left) if target[y, x]), None)
                sample, target, ignore = left.pop(hit or 0)
                first = proposed if hit is not None else None
                named = replace(sample, name=run.name(sample), label=run.label)
                yield from annotate(segmenter, timed, named, target, ignore, first, task, spent)
                if segmenter.mask is not None and segmenter.mask.array.any():
                    learning.accept()


def annotate(
    segmenter: Segmenter, timed: TimedRuntime, sample: Sample, target: Mask, ignore: Mask | None,
    proposed: Any, task: SequenceTask, spent: float,
) -> Iterator[Interaction]:  # fmt: skip
    """The interactions of one object until its mask is accepted: the proposal, if it is right, then clicks."""
    k = 0 if proposed is not None else 1
    click = proposed or robot.first_click(target, ignore)
    while click is not None:
        started = time.perf_counter()
        predicted = segmenter.add(click).array
        spent += milliseconds(started)
        encode_ms, decode_ms = timed.take()
        iou = metrics.iou(predicted, target, ignore)
        following = None if iou >= task.until or k == task.most else robot.next_click(target, predicted, ignore)
        yield Interaction(
            object=sample.name, label=sample.label, k=k, x=click.x, y=click.y, positive=click.positive, radius=None,
            iou=iou, boundary_iou=metrics.boundary_iou(predicted, target, ignore), ms=spent, encode_ms=encode_ms,
            decode_ms=decode_ms, mask=RunLengths.from_mask(predicted).text, last=following is None,
        )  # fmt: skip
        click, spent, k = following, 0.0, k + 1


def after(some: Sequence[Interaction]) -> list[float]:
    """The IoU after 0, 1, 2, ... interactions of one object; 0 after none without a right proposal."""
    ious = [i.iou for i in some]
    return ious if some[0].k == 0 else [0.0, *ious]


def effort(some: Sequence[Interaction], threshold: float, most: int) -> int:
    """Interactions to an IoU, 0 where the proposal's answer has it; ``most`` where it is never reached."""
    return next((k for k, iou in enumerate(after(some)) if iou >= threshold), most)


def figures(records: Records, runs: Sequence[Run], task: SequenceTask) -> dict[str, Any]:
    """Effort over all objects and seeds, by seed, by label, and against the number annotated before.

    Intervals are 95 % bootstrap intervals over objects, of each object's mean over the seeds.
    """
    answer: dict[str, Any] = {"objects": sum(len(run.samples) for run in runs) // task.seeds}
    places = annotated_before(records, runs)
    names = {run.name(sample): sample.name for run in runs for sample in run.samples}
    for percent in thresholds(task.until):
        efforts = {name: effort(records[name], percent / 100, task.most) for name in places}
        means: dict[str, list[int]] = {}
        for name, value in efforts.items():
            means.setdefault(names[name], []).append(value)
        answer[f"noc{percent}"] = math.fsum(efforts.values()) / len(efforts)
        answer[f"noc{percent}_interval"] = metrics.interval([float(np.mean(means[name])) for name in sorted(means)])
        answer[f"noc{percent}_by_seed"] = [
            float(np.mean([value for name, value in efforts.items() if name.endswith(f"@{seed}")]))
            for seed in sorted({run.seed for run in runs})
        ]
        answer[f"noc{percent}_by_label"] = {
            label: float(np.mean([efforts[run.name(s)] for run in runs if run.label == label for s in run.samples]))
            for label in {run.label: None for run in runs}
        }
        answer[f"noc{percent}_curve"] = curve(places, {name: float(value) for name, value in efforts.items()})
        answer[f"nof{percent}"] = sum(after(records[name])[-1] < percent / 100 for name in efforts) / task.seeds
    proposals = {name: float(records[name][0].k == 0) for name, place in places.items() if place > 0}
    answer["proposed_right"] = float(np.mean(list(proposals.values()))) if proposals else 0.0
    answer["proposed_right_curve"] = curve(places, proposals)
    for k in (0, 1, 3):
        answer[f"miou{k}"] = float(np.mean([after(records[name])[: k + 1][-1] for name in places]))
    answer["ious"] = {name: [round(iou, 6) for iou in after(records[name])] for name in places}
    return answer | times(records)


def thresholds(until: float) -> list[int]:
    """The IoUs in percent that are reported: the usual ones as far as masks go, and the one they go to."""
    return sorted({*(percent for percent in THRESHOLDS if percent < 100 * until), round(100 * until)})


def annotated_before(records: Records, runs: Sequence[Run]) -> dict[str, int]:
    """How many objects of its sequence were annotated before each; the journal has them in their order."""
    sequence = {run.name(sample): (run.label, run.seed) for run in runs for sample in run.samples}
    counts: dict[tuple[str, int], int] = {}
    places = {}
    for name in records:
        if name in sequence:
            places[name] = counts.get(sequence[name], 0)
            counts[sequence[name]] = places[name] + 1
    return places


def curve(places: dict[str, int], values: dict[str, float]) -> list[tuple[int, int, float, int]]:
    """Means over parts of the sequences: from and up to which place, the mean, and over how many objects."""
    parts = []
    for low, high in zip(EDGES, (*EDGES[1:], 10**9), strict=True):
        some = [value for name, value in values.items() if low <= places[name] < high]
        if some:
            last = min(high, 1 + max(place for name, place in places.items() if name in values))
            parts.append((low, last, math.fsum(some) / len(some), len(some)))
    return parts
