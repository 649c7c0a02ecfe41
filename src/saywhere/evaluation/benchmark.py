"""One method on one data set, measured with the robot user: resumable, on any engine, every interaction kept."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from saywhere.core.atomic import write_atomically
from saywhere.core.geometry import ImageSize
from saywhere.core.metrics import MAX_INTERACTIONS
from saywhere.core.processes import peak_memory
from saywhere.core.robot import ClickPlace
from saywhere.core.settings import ResolvedSettings, Settings
from saywhere.data.datasets import Sample, load_dataset
from saywhere.data.datasets.check import check
from saywhere.errors import SaywhereError
from saywhere.evaluation.calibration import calibration_figures
from saywhere.evaluation.candidates import candidate_figures, with_candidate_ious
from saywhere.evaluation.evaluate import Interaction, segment_object
from saywhere.evaluation.journal import Journal
from saywhere.evaluation.phrases import PhraseMode, with_phrases
from saywhere.evaluation.robot_user import RobotUser
from saywhere.evaluation.summary import Records, classes, figures, ious_of
from saywhere.interactive.segmenter import Segmenter
from saywhere.parallel.resumable import Execution, LoadedMethod, Progress, journal_path, no_progress, run_job
from saywhere.runtime.base import Capabilities, Runtime
from saywhere.runtime.timed import TimedRuntime

Remaining = tuple[Sample, tuple[Interaction, ...]]  # an object, and the interactions that an interrupted run has
SHOWN_FAULTS = 5
PACKAGES = ("saywhere", "torch", "onnxruntime")


@dataclass(frozen=True)
class Task:
    """What is measured.

    Attributes:
        method: weights, a classical method or ``module:factory``; None: the weights that ship.
        data: a known data set, or a COCO JSON file.
        settings: settings of the Segmenter.
        max_interactions: when the robot user gives up.
        drag: whether the robot drags its clicks.
        limit: measure only this many objects, evenly spread.
        threads: processor threads.
        phrase: whether and when the robot gives a phrase.
        first_click: where the robot's first click is, see :func:`saywhere.core.robot.click_at`.
        box: whether the robot begins with the object's bounding box.
        box_jitter: standard deviation of the edges of the box over the object's width or height.
        step_candidates: whether the robot may choose another candidate mask instead of clicking.
        signs: the signs of the robot's clicks, as "++-"; empty: they correct what is wrong.
    """

    method: str | None
    data: str
    settings: Settings = field(default_factory=Settings)
    max_interactions: int = MAX_INTERACTIONS
    drag: bool = False
    limit: int | None = None
    threads: int = 2
    phrase: PhraseMode | None = None
    first_click: ClickPlace = "centre"
    box: bool = False
    box_jitter: float = 0.0
    step_candidates: bool = False
    signs: str = ""

    @property
    def user(self) -> RobotUser:
        """The robot user of this task."""
        phrase_at = None if self.phrase is None else self.phrase.at
        return RobotUser(
            self.max_interactions,
            self.drag,
            phrase_at=phrase_at,
            first_click=self.first_click,
            box=self.box,
            box_jitter=self.box_jitter,
            step_candidates=self.step_candidates,
            signs=self.signs,
        )


@dataclass(frozen=True)
class Measurement:
    """A finished run: its figures, its interactions by object, and its objects."""

    figures: dict[str, Any]
    records: Records
    samples: Sequence[Sample]


def spread(count: int, limit: int | None) -> list[int]:
    """``limit`` of ``count`` positions, evenly spread; all when there is no limit."""
    if limit is None or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


def bench(
    task: Task,
    out: Path,
    jobs: int = 1,
    progress: Progress = no_progress,
    command: str = "",
    seen: Collection[str] | None = None,
) -> dict[str, Any]:
    """The figures of a task, measured on this machine; see :func:`measure`."""
    return measure(task, out, Execution(jobs=jobs), progress, command, seen).figures


def measure(
    task: Task,
    out: Path,
    execution: Execution = Execution(),  # noqa: B008  (it is frozen)
    progress: Progress = no_progress,
    command: str = "",
    seen: Collection[str] | None = None,
) -> Measurement:
    """Measure a task; an interrupted run of the same task goes on where it stopped, with any engine.

    Args:
        task: what is measured.
        out: where the figures go, as JSON; the interactions go beside it, as JSON lines.
        execution: where it runs.
        progress: called with the number of finished objects, and of all.
        command: the command line, to be kept with the figures.
        seen: the labels that count as trained on; None: those that the weights name.

    Returns:
        The figures, with everything that could change them, and the interactions.

    Raises:
        SaywhereError: before anything is measured, when the data set has faults, the method cannot do what the task
            asks, or ``out`` belongs to another task.
    """
    samples = load_samples(task.data, task.limit)
    refuse_faults(task.data, samples)
    method = LoadedMethod.load(task.method, task.settings, task.threads)
    check_capabilities(task, method.runtime)
    task = replace(task, max_interactions=possible_interactions(task, method.runtime.capabilities))
    if task.phrase is not None:
        samples = with_phrases(samples, task.phrase)
    known = conditions(task, method.metadata) | {"objects": len(samples)}
    with Journal(journal_path(out), known) as journal:
        remaining = [(s, tuple(journal.records.get(s.name, ()))) for s in samples if not journal.finished(s.name)]
        completed = len(samples) - len(remaining)
        run_job(method, partial(make_work, task), remaining, journal, completed, len(samples), execution, progress)
    records = journal.records
    measured = figures(records, task.max_interactions) | candidate_figures(records) | calibration_figures(records)
    result = known | rounded(measured) | cost(method.runtime, method.settings)
    result |= environment(command, execution) | {"clicks_taken": method.runtime.capabilities.clicks_in_words}
    trained_on = method.runtime.metadata.get("labels") if seen is None else seen
    result["classes"] = rounded(
        classes(records, task.max_interactions, None if trained_on is None else set(trained_on))
    )
    result["ious"] = {name: [round(v, 6) for v in ious] for name, ious in ious_of(records).items()}
    write_atomically(out, json.dumps(result, indent=1).encode())
    return Measurement(result, records, samples)


def load_samples(data: str, limit: int | None) -> list[Sample]:
    """The objects of a data set, or ``limit`` of them, evenly spread."""
    samples = load_dataset(data)
    return [samples[i] for i in spread(len(samples), limit)]


def refuse_faults(name: str, samples: Sequence[Sample]) -> None:
    """Check the files of a data set.

    Raises:
        SaywhereError: some are missing, unreadable or of the wrong size.
    """
    faults = check(samples)
    if faults:
        shown = "; ".join(faults[:SHOWN_FAULTS])
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise SaywhereError(f"data '{name}': {shown}{more}; see all with: saywhere data {name}")


def check_capabilities(task: Task, runtime: Runtime) -> None:
    """Check that a method can do what a task asks.

    Raises:
        SaywhereError: it understands no phrases, takes no drags or boxes, or gives a single mask, but the robot needs
            it.
    """
    has, model = runtime.capabilities, f"model '{runtime.name}'"
    if task.phrase is not None and not has.phrases:
        raise SaywhereError(f"--phrase {task.phrase}: {model} understands no phrases")
    if task.drag and not has.drags:
        raise SaywhereError(f"--drag: {model} takes no drags; leave --drag out")
    if task.box and not has.boxes:
        raise SaywhereError(f"--box: {model} takes no boxes; give one that was trained with them, or leave --box out")
    if task.step_candidates and has.candidates < 2:
        raise SaywhereError(f"--step-candidates: {model} gives one mask, so there is no other to choose")


def possible_interactions(task: Task, has: Capabilities) -> int:
    """How many interactions of a task a method can take: fewer than the task's maximum where it takes few clicks."""
    if has.max_clicks is None:
        return task.max_interactions
    choices = has.max_clicks if task.step_candidates else 0
    return min(task.max_interactions, has.max_clicks + choices + (task.phrase is not None) + task.box)


def conditions(task: Task, run_metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that could change the figures. What the robot user draws at random has fixed seeds."""
    return {
        **run_metadata,
        "data": task.data,
        "interaction": "drag" if task.drag else "click",
        "phrase": None if task.phrase is None else str(task.phrase),
        "clicks_like": task.first_click,
        "box": task.box,
        "box_jitter": task.box_jitter,
        "step_candidates": task.step_candidates,
        "signs": task.signs,
        "most_interactions": task.max_interactions,
    }


def make_work(task: Task, runtime: Runtime, settings: Settings) -> Callable[[Remaining], Iterator[Interaction]]:
    """The function that segments one object, from where the journal has it."""
    has = runtime.capabilities
    user = replace(task.user, max_clicks=has.max_clicks, negative_clicks=has.negative_clicks)
    return partial(_segment, user, TimedRuntime(runtime), settings)


def _segment(user: RobotUser, timed: TimedRuntime, settings: Settings, remaining: Remaining) -> Iterator[Interaction]:
    sample, previous = remaining
    interactions = segment_object(user, Segmenter(timed, settings), timed, sample, previous)
    yield from with_candidate_ious(interactions, timed.runtime, settings, sample)


def cost(runtime: Runtime, settings: ResolvedSettings) -> dict[str, int]:
    """Parameters, and multiply-adds of encoding and of decoding an image of 4:3, where they are known."""
    return runtime.cost(ImageSize(settings.size * 3 // 4, settings.size))


def environment(command: str, execution: Execution) -> dict[str, Any]:
    """Where and how a run was measured: what changes times, but not figures. Ray's workers are not inspected."""
    measured_here = execution.engine == "local"
    return {
        "engine": str(execution.engine),
        "jobs": execution.jobs if measured_here else None,
        "peak_memory_mb": round(peak_memory(execution.jobs != 1) / 1e6) if measured_here else None,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "versions": {name: package_version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "command": command,
    }


def package_version(name: str) -> str | None:
    """The version of an installed package; None when it is not installed. The package is not imported."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same values with six digits of every number, however deep."""
    return {key: _rounded(value) for key, value in values.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, tuple):
        return [_rounded(v) for v in value]
    return rounded(value) if isinstance(value, Mapping) else value
