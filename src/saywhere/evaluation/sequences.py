"""Measuring sequences: related objects one after another, with proposals and learning (saywhere bench --sequence).

Sequential Interactive Image Segmentation, section 4: a proposal that lies on an object of the sequence is taken for its
first click and costs no interaction; otherwise the robot gives its own first click, which counts as usual.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np

from saywhere.core import metrics, robot
from saywhere.core.atomic import write_atomically
from saywhere.core.metrics import MAX_INTERACTIONS
from saywhere.core.prompt import Click
from saywhere.core.settings import Settings
from saywhere.data.datasets import Sample
from saywhere.errors import SaywhereError
from saywhere.evaluation.benchmark import cost, environment, load_samples, refuse_faults, rounded, spread
from saywhere.evaluation.evaluate import Interaction, interact, read_sample_image
from saywhere.evaluation.journal import Journal
from saywhere.evaluation.robot_user import GroundTruth, RobotUser
from saywhere.evaluation.summary import THRESHOLDS, Records, times
from saywhere.interactive.segmenter import Segmenter
from saywhere.interactive.sequence import Sequence as ImageSequence
from saywhere.interactive.sequence import SequenceOptions
from saywhere.parallel.resumable import Execution, LoadedMethod, Progress, journal_path, no_progress, run_job
from saywhere.runtime.base import PurifyingRuntime, Runtime
from saywhere.runtime.timed import TimedRuntime, milliseconds
from saywhere.text.words import label_words

EDGES = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)  # of the curve's parts, in objects annotated before
ProposalPlace = Literal["icp", "object", "image"]
ONE = "all"  # the label of everything, with --one-label


@dataclass(frozen=True)
class SequenceTask:
    """What is measured.

    Attributes:
        method: weights or ``module:factory``; None: the weights that ship.
        data: a known data set, or a COCO JSON file.
        settings: settings of the Segmenter.
        options: options of the sequence; ``options.seed`` is the first of the seeds.
        one_label: whether all objects are one sequence, whatever their labels.
        seeds: how often each sequence is measured, each time with a seed of its own.
        target_iou: the IoU at which the robot user accepts a mask.
        max_interactions: when it gives up.
        limit: measure only this many objects (of the chosen labels), evenly spread.
        threads: processor threads.
        say: whether the label is given as a phrase, once for the sequence; it costs no interaction.
        labels: only these labels; all when empty.
        proposals: which click is taken for a proposal: "icp", the proposal itself; "object", a random point of the
            object where the proposal is right; "image", a random point of the image (the paper's table 5).
    """

    method: str | None
    data: str
    settings: Settings = field(default_factory=Settings)
    options: SequenceOptions = field(default_factory=lambda: SequenceOptions(interval=2))
    one_label: bool = False
    seeds: int = 1
    target_iou: float = 0.9
    max_interactions: int = MAX_INTERACTIONS
    limit: int | None = None
    threads: int = 2
    say: bool = False
    labels: tuple[str, ...] = ()
    proposals: ProposalPlace = "icp"

    @property
    def user(self) -> RobotUser:
        """The robot user of this task."""
        return RobotUser(self.max_interactions, target_iou=self.target_iou)


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
    """The sequences of a task.

    Raises:
        SaywhereError: objects have no labels to tell sequences apart, or a chosen label is unknown.
    """
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


def chosen_samples(task: SequenceTask) -> list[Sample]:
    """The objects of a task: those of its labels, and of these ``limit``, evenly spread.

    Raises:
        SaywhereError: a chosen label is unknown, or all objects are one sequence.
    """
    samples = load_samples(task.data, None)
    if task.labels:
        runs_of(task, samples)  # names a label that there is not
        samples = [sample for sample in samples if sample.label in task.labels]
    return [samples[i] for i in spread(len(samples), task.limit)]


def bench_sequences(
    task: SequenceTask,
    out: Path,
    execution: Execution = Execution(),  # noqa: B008  (it is frozen)
    progress: Progress = no_progress,
    command: str = "",
    method: LoadedMethod | None = None,
) -> dict[str, Any]:
    """Measure the sequences of a task.

    Sequences are independent of one another; an interrupted one is begun again, and comes to the same interactions.
    Arguments, files and errors are those of :func:`saywhere.evaluation.benchmark.measure`; ``method`` is measured
    instead of the one that the task names, and then ``execution`` must be in this process.

    Returns:
        The figures, with everything that could change them.
    """
    samples = chosen_samples(task)
    present = {sample.label for sample in samples}
    runs = runs_of(replace(task, labels=tuple(label for label in task.labels if label in present)), samples)
    refuse_faults(task.data, [sample for run in runs if run.seed == task.options.seed for sample in run.samples])
    method = method or LoadedMethod.load(task.method, task.settings, task.threads)
    if not method.runtime.capabilities.purification_strides:
        raise SaywhereError(
            f"--sequence: model '{method.runtime.name}' has no purification layer; use saywhere or sequential"
        )
    known = conditions(task, method.metadata) | {"sequences": len(runs)}
    with Journal(journal_path(out), known) as journal:
        finished = [[journal.finished(run.name(sample)) for sample in run.samples] for run in runs]
        remaining = [run for run, objects in zip(runs, finished, strict=True) if not all(objects)]
        completed, total = sum(map(sum, finished)), sum(map(len, finished))
        run_job(method, partial(make_work, task), remaining, journal, completed, total, execution, progress)
    result = known | rounded(figures(journal.records, runs, task)) | cost(method.runtime, method.settings)
    learned = cast(PurifyingRuntime, method.runtime).purification_parameters()
    result["purification_parameters"] = sum(int(values.size) for values in learned.values())
    result |= environment(command, execution)
    write_atomically(out, json.dumps(result, indent=1).encode())
    return result


def conditions(task: SequenceTask, run_metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that could change the figures."""
    keys = ("data", "one_label", "seeds", "target_iou", "limit", "say", "labels", "proposals")
    return {
        **run_metadata,
        **{key: getattr(task, key) for key in keys},
        **asdict(task.options),
        "most_interactions": task.max_interactions,
        "interaction": "click",
    }


def make_work(task: SequenceTask, runtime: Runtime, settings: Settings) -> Callable[[Run], Iterator[Interaction]]:
    """The function that segments the objects of one sequence."""
    return partial(segment_sequence, task, TimedRuntime(runtime), settings)


def segment_sequence(task: SequenceTask, timed: TimedRuntime, settings: Settings, run: Run) -> Iterator[Interaction]:
    """The interactions of a sequence, image by image; the objects of one image in the order of the proposals."""
    segmenter = Segmenter(timed, settings)
    phrase = label_words(run.label) if task.say else None
    by_image: dict[Path, list[Sample]] = {}
    for sample in run.samples:
        by_image.setdefault(sample.image_path, []).append(sample)
    options = replace(task.options, seed=run.seed)
    with ImageSequence(segmenter, run.label, None, options, phrase) as sequence:
        for samples in by_image.values():
            yield from _segment_image(task, timed, segmenter, sequence, run, samples)


def _segment_image(
    task: SequenceTask,
    timed: TimedRuntime,
    segmenter: Segmenter,
    sequence: ImageSequence,
    run: Run,
    samples: Sequence[Sample],
) -> Iterator[Interaction]:
    """The interactions with all objects of one image."""
    remaining = [
        GroundTruth.of(replace(sample, name=run.name(sample), label=run.label, phrase=None)) for sample in samples
    ]
    image: Any = read_sample_image(samples[0], remaining[0].target)
    while remaining:
        timed.take()
        started = time.perf_counter()
        proposed = sequence.propose(image)
        ms, image = milliseconds(started), None
        if proposed is not None and task.proposals != "icp":
            proposed = random_proposal(task.proposals, proposed, remaining)
        hit = None if proposed is None else hit_object(proposed, remaining)
        truth = remaining.pop(hit or 0)
        # A proposal that is right is interaction 0: it costs nothing.
        click, k = (proposed, 0) if hit is not None else (robot.first_click(truth.target, truth.ignore), 1)
        yield from interact(task.user, segmenter, timed, truth, click, k, ms=ms)
        if segmenter.mask is not None and segmenter.mask.array.any():
            sequence.accept()


def hit_object(click: Click, remaining: Sequence[GroundTruth]) -> int | None:
    """The first of some objects of an image that a click lies on; None where it is on none."""
    x, y = int(click.x), int(click.y)
    return next((i for i, truth in enumerate(remaining) if truth.target[y, x]), None)


def random_proposal(place: ProposalPlace, proposed: Click, remaining: Sequence[GroundTruth]) -> Click:
    """A random click in the place of a proposal (section 4.2, Q4, table 5).

    Args:
        place: "image", anywhere in the image; "object", anywhere on the object that the proposal is on, or the
            proposal itself where it is on none.
        proposed: the proposal.
        remaining: the objects of the image that are not annotated yet, at least one; the first one's name and their
            number seed what is drawn.
    """
    rng = remaining[0].random()
    rng = np.random.default_rng([int(rng.integers(2**31)), len(remaining)])
    hit = hit_object(proposed, remaining)
    if place == "object":
        return proposed if hit is None else robot.click_at("uniform", remaining[hit].counted, rng)
    height, width = remaining[0].target.shape
    return Click(float(rng.integers(width)), float(rng.integers(height)))


def iou_curve(interactions: Sequence[Interaction]) -> list[float]:
    """The IoU after 0, 1, 2, ... interactions with one object; after 0 it is 0 without a right proposal."""
    ious = [i.iou for i in interactions]
    return ious if interactions[0].k == 0 else [0.0, *ious]


def effort(interactions: Sequence[Interaction], threshold: float, max_interactions: int) -> int:
    """Number of interactions to an IoU, 0 where the proposal's mask has it; the limit where it is never reached."""
    return next((k for k, iou in enumerate(iou_curve(interactions)) if iou >= threshold), max_interactions)


def figures(records: Records, runs: Sequence[Run], task: SequenceTask) -> dict[str, Any]:
    """Effort over all objects and seeds, by seed, by label, and against the number annotated before.

    Intervals are 95 % bootstrap intervals over objects, of each object's mean over the seeds.
    """
    result: dict[str, Any] = {"objects": sum(len(run.samples) for run in runs) // task.seeds}
    positions = annotated_before(records, runs)
    for percent in thresholds(task.target_iou):
        efforts = {name: effort(records[name], percent / 100, task.max_interactions) for name in positions}
        result |= _effort_figures(percent, efforts, positions, runs)
        result[f"nof{percent}"] = sum(iou_curve(records[name])[-1] < percent / 100 for name in efforts) / task.seeds
    proposals = {name: float(records[name][0].k == 0) for name, position in positions.items() if position > 0}
    result["proposed_right"] = float(np.mean(list(proposals.values()))) if proposals else 0.0
    result["proposed_right_curve"] = curve(positions, proposals)
    for k in (0, 1, 3):
        result[f"miou{k}"] = float(np.mean([iou_curve(records[name])[: k + 1][-1] for name in positions]))
    result["ious"] = {name: [round(iou, 6) for iou in iou_curve(records[name])] for name in positions}
    return result | times(records)


def _effort_figures(
    percent: int, efforts: Mapping[str, int], positions: dict[str, int], runs: Sequence[Run]
) -> dict[str, Any]:
    """NoC at one IoU: the mean and its interval, by seed, by label, and as a curve."""
    names = {run.name(sample): sample.name for run in runs for sample in run.samples}
    by_object: dict[str, list[int]] = {}
    for name, value in efforts.items():
        by_object.setdefault(names[name], []).append(value)
    return {
        f"noc{percent}": math.fsum(efforts.values()) / len(efforts),
        f"noc{percent}_interval": metrics.bootstrap_interval(
            [float(np.mean(by_object[name])) for name in sorted(by_object)]
        ),
        f"noc{percent}_by_seed": [
            float(np.mean([value for name, value in efforts.items() if name.endswith(f"@{seed}")]))
            for seed in sorted({run.seed for run in runs})
        ],
        f"noc{percent}_by_label": {
            label: float(np.mean([efforts[run.name(s)] for run in runs if run.label == label for s in run.samples]))
            for label in {run.label: None for run in runs}
        },
        f"noc{percent}_curve": curve(positions, {name: float(value) for name, value in efforts.items()}),
    }


def thresholds(target_iou: float) -> list[int]:
    """The IoUs in percent that are reported: the usual ones below the target, and the target."""
    return sorted({*(percent for percent in THRESHOLDS if percent < 100 * target_iou), round(100 * target_iou)})


def annotated_before(records: Records, runs: Sequence[Run]) -> dict[str, int]:
    """How many objects of its sequence were annotated before each; the journal has them in their order."""
    sequence = {run.name(sample): (run.label, run.seed) for run in runs for sample in run.samples}
    counts: dict[tuple[str, int], int] = {}
    positions = {}
    for name in records:
        if name in sequence:
            positions[name] = counts.get(sequence[name], 0)
            counts[sequence[name]] = positions[name] + 1
    return positions


def curve(positions: dict[str, int], values: dict[str, float]) -> list[tuple[int, int, float, int]]:
    """Means over parts of the sequences.

    Args:
        positions: how many objects were annotated before each, by name.
        values: the value of each object, by name.

    Returns:
        For each part: its first position, the one after its last, the mean, and the number of objects.
    """
    parts = []
    for low, high in zip(EDGES, (*EDGES[1:], 10**9), strict=True):
        part = [value for name, value in values.items() if low <= positions[name] < high]
        if part:
            last = min(high, 1 + max(position for name, position in positions.items() if name in values))
            parts.append((low, last, math.fsum(part) / len(part), len(part)))
    return parts
