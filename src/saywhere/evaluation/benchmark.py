"""One method on one data set: resumable, on any engine, every interaction kept."""

from __future__ import annotations

import json
import os
import platform
import resource
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from saywhere import __version__
from saywhere.core.geometry import ImageSize
from saywhere.core.metrics import MOST_INTERACTIONS
from saywhere.core.settings import Settings
from saywhere.data.datasets import Sample, load_dataset
from saywhere.data.datasets.check import check
from saywhere.errors import SaywhereError
from saywhere.evaluation.evaluate import Interaction, work_through
from saywhere.evaluation.journal import Journal, read_records
from saywhere.evaluation.phrases import PhraseMode, with_phrases
from saywhere.evaluation.summary import classes, figures, ious_of
from saywhere.interactive.segmenter import Segmenter
from saywhere.parallel import local as engines
from saywhere.parallel.local import Engine
from saywhere.runtime.base import Runtime
from saywhere.runtime.metadata import run_metadata, set_threads
from saywhere.runtime.registry import find_method, verify_method
from saywhere.runtime.timed import TimedRuntime
from saywhere.storage.atomic import write_atomically

Progress = Callable[[int, int], None]
Todo = tuple[Sample, tuple[Interaction, ...]]  # an object, and what an interrupted run has of it
SHOWN_FAULTS = 5


@dataclass(frozen=True)
class Task:
    """What is measured: a method, a data set, and everything that a person may choose."""

    method: str | None
    data: str
    settings: Settings = field(default_factory=Settings)
    most: int = MOST_INTERACTIONS
    drag: bool = False
    limit: int | None = None
    threads: int = 2
    phrase: PhraseMode | None = None


def spread(count: int, limit: int | None) -> list[int]:
    """``limit`` of ``count`` positions, evenly spread; all when there is no limit."""
    if limit is None or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


def journal_path(out: Path) -> Path:
    return out.with_suffix(".jsonl")


def bench(
    task: Task,
    out: Path,
    jobs: int = 1,
    progress: Progress = lambda done, total: None,
    command: str = "",
    engine: Engine = Engine.LOCAL,
    seen: Collection[str] | None = None,
) -> dict[str, Any]:
    """Measure a task and write its figures to ``out``, its interactions beside it as JSON lines.

    An interrupted run of the same task goes on where it stopped, with any engine. ``seen`` are the labels that count
    as trained on; those that the weights name if None. Raises SaywhereError, before anything is measured, when the
    data set has faults, or when ``out`` belongs to another task.
    """
    samples = load_dataset(task.data)
    samples = [samples[i] for i in spread(len(samples), task.limit)]
    refuse_faults(task.data, samples)
    runtime, settings = find_method(task.method, task.settings)
    if task.phrase is not None:
        if not runtime.capabilities.phrases:
            raise SaywhereError(f"--phrase {task.phrase}: model '{runtime.name}' understands no phrases")
        samples = with_phrases(samples, task.phrase)
    traits = run_metadata(runtime, settings, task.threads)
    told = conditions(task, traits) | {"objects": len(samples)}
    journal = Journal(journal_path(out), told)
    try:
        todo = [(s, tuple(journal.records.get(s.name, ()))) for s in samples if not journal.finished(s.name)]
        done = len(samples) - len(todo)
        progress(done, len(samples))
        alone = engine is Engine.LOCAL and jobs == 1
        prepare = partial(worker, task, runtime, settings) if alone else partial(remote_worker, task, traits)
        gpu = traits["device"].startswith("cuda")
        for interaction in engines.run(prepare, todo, engine, jobs, task.threads, gpu):
            if journal.append(interaction) and interaction.last:
                done += 1
                progress(done, len(samples))
    finally:
        journal.close()
    records = read_records(journal.path)
    result = told | rounded(figures(records, task.most)) | cost(runtime, settings)
    result |= environment(command, engine, jobs)
    trained_on = runtime.metadata.get("labels") if seen is None else seen
    result["classes"] = rounded(classes(records, task.most, None if trained_on is None else set(trained_on)))
    result["ious"] = {name: [round(v, 6) for v in ious] for name, ious in ious_of(records).items()}
    write_atomically(out, json.dumps(result, indent=1).encode())
    return result


def refuse_faults(name: str, samples: Sequence[Sample]) -> None:
    faults = check(samples)
    if faults:
        shown = "; ".join(faults[:SHOWN_FAULTS])
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise SaywhereError(f"data '{name}': {shown}{more}; see all with: saywhere data {name}")


def conditions(task: Task, traits: Mapping[str, Any]) -> dict[str, Any]:
    """All that could change the figures; the robot is deterministic, so there is no seed to tell."""
    return {
        **traits,
        "data": task.data,
        "interaction": "drag" if task.drag else "click",
        "phrase": None if task.phrase is None else str(task.phrase),
        "most_interactions": task.most,
    }


def remote_worker(task: Task, traits: Mapping[str, Any]) -> Callable[[Todo], Iterator[Interaction]]:
    """What works through one object in another process, with the method that is known by its ``traits``."""
    return worker(task, *verify_method(task.method, task.settings, task.threads, traits))


def worker(task: Task, runtime: Runtime, settings: Settings) -> Callable[[Todo], Iterator[Interaction]]:
    """What works through one object in this process, from where the journal has it."""
    set_threads(task.threads)
    return partial(measure, task, TimedRuntime(runtime), settings)


def measure(task: Task, timed: TimedRuntime, settings: Settings, todo: Todo) -> Iterator[Interaction]:
    sample, before = todo
    phrase_at = None if task.phrase is None else task.phrase.at
    yield from work_through(Segmenter(timed, settings), timed, sample, task.most, task.drag, before, phrase_at)


def cost(runtime: Runtime, settings: Settings) -> dict[str, int]:
    """Parameters, and multiply-adds of encoding and of decoding an image of 4:3, where they are known."""
    return runtime.cost(ImageSize(settings.size * 3 // 4, settings.size))


def environment(command: str, engine: Engine, jobs: int) -> dict[str, Any]:
    """Where and how it was measured: what changes times, but not figures. Ray's workers are not looked into."""
    import onnxruntime
    import torch

    local = engine is Engine.LOCAL
    peak = resource.getrusage(resource.RUSAGE_SELF if jobs == 1 else resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "engine": str(engine),
        "jobs": jobs if local else None,
        "peak_memory_mb": round(peak * (1024 if sys.platform == "linux" else 1) / 1e6) if local else None,
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "versions": {
            "saywhere": __version__,
            "torch": torch.__version__,
            "onnxruntime": onnxruntime.__version__,
            "python": platform.python_version(),
        },
        "command": command,
    }


def rounded(values: Mapping[str, Any]) -> dict[str, Any]:
    """Six digits of every number, however deep."""
    return {key: _rounded(value) for key, value in values.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, tuple):
        return [_rounded(v) for v in value]
    return rounded(value) if isinstance(value, Mapping) else value
