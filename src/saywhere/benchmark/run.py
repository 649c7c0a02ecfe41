"""One method on one data set: resumable, in one process or several, every interaction kept."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import queue
import resource
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from saywhere import __version__
from saywhere.benchmark.evaluate import TimedRunner, work_through
from saywhere.benchmark.figures import figures, ious_of
from saywhere.benchmark.journal import Journal, read_records
from saywhere.benchmark.methods import find_method
from saywhere.datasets import Sample, load_dataset
from saywhere.datasets.check import check
from saywhere.errors import SaywhereError
from saywhere.files import write_atomically
from saywhere.metrics import MOST_INTERACTIONS
from saywhere.segmenter import Runner, Segmenter, Settings

Progress = Callable[[int, int], None]
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


def spread(count: int, limit: int | None) -> list[int]:
    """``limit`` of ``count`` positions, evenly spread; all when there is no limit."""
    if limit is None or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


def journal_path(out: Path) -> Path:
    return out.with_suffix(".jsonl")


def bench(
    task: Task, out: Path, jobs: int = 1, progress: Progress = lambda done, total: None, command: str = ""
) -> dict[str, Any]:
    """Measure a task and write its figures to ``out``, its interactions beside it as JSON lines.

    An interrupted run of the same task goes on where it stopped. Raises SaywhereError, before anything is measured,
    when the data set has faults, or when ``out`` belongs to another task.
    """
    samples = load_dataset(task.data)
    samples = [samples[i] for i in spread(len(samples), task.limit)]
    refuse_faults(task.data, samples)
    runner, settings = find_method(task.method, task.settings)
    told = conditions(task, runner, settings, len(samples))
    journal = Journal(journal_path(out), told)
    try:
        todo = [s for s in samples if not journal.finished(s.name)]
        already = len(samples) - len(todo)

        def advance(done: int) -> None:
            progress(already + done, len(samples))

        advance(0)
        if jobs == 1 or len(todo) < 2:
            measure(task, runner, settings, todo, journal, advance)
        else:
            in_processes(task, todo, journal.path, told, jobs, advance)
    finally:
        journal.close()
    records = read_records(journal.path)
    result = told | rounded(figures(records, task.most)) | cost(runner, settings) | surroundings(command, jobs)
    result["ious"] = {name: [round(v, 6) for v in ious] for name, ious in ious_of(records).items()}
    write_atomically(out, json.dumps(result, indent=1).encode())
    return result


def refuse_faults(name: str, samples: Sequence[Sample]) -> None:
    faults = check(samples)
    if faults:
        shown = "; ".join(faults[:SHOWN_FAULTS])
        more = f"; and {len(faults) - SHOWN_FAULTS} more" if len(faults) > SHOWN_FAULTS else ""
        raise SaywhereError(f"data '{name}': {shown}{more}; see all with: saywhere data {name}")


def conditions(task: Task, runner: Runner, settings: Settings, objects: int) -> dict[str, Any]:
    """All that could change the figures; the robot is deterministic, so there is no seed to tell."""
    return {
        "model": runner.name,
        "weights": runner.digest,
        "data": task.data,
        "objects": objects,
        "interaction": "drag" if task.drag else "click",
        "phrase": False,
        "most_interactions": task.most,
        **asdict(settings),
        "flip": False,
        "threads": task.threads,
        "device": str(getattr(runner, "device", "cpu")),
    }


def measure(
    task: Task,
    runner: Runner,
    settings: Settings,
    samples: Sequence[Sample],
    journal: Journal,
    progress: Callable[[int], None],
) -> None:
    """Work through objects in this process, each from where the journal has it."""
    set_threads(task.threads)
    timed = TimedRunner(runner)
    for done, sample in enumerate(samples, 1):
        before = journal.records.get(sample.name, ())
        for interaction in work_through(Segmenter(timed, settings), timed, sample, task.most, task.drag, tuple(before)):
            journal.append(interaction)
        progress(done)


def set_threads(threads: int) -> None:
    import cv2
    import torch

    torch.set_num_threads(threads)
    cv2.setNumThreads(threads)


def in_processes(
    task: Task,
    samples: Sequence[Sample],
    path: Path,
    told: dict[str, Any],
    jobs: int,
    progress: Callable[[int], None],
) -> None:
    """Several processes share the objects and write to the same journal."""
    context = multiprocessing.get_context("spawn")
    done: Any = context.Queue()
    workers = [
        context.Process(target=_work, args=(task, list(samples[i::jobs]), path, told, done), daemon=True)
        for i in range(min(jobs, len(samples)))
    ]
    for worker in workers:
        worker.start()
    finished = 0
    while any(worker.is_alive() for worker in workers) or not done.empty():
        try:
            done.get(timeout=0.2)
        except queue.Empty:
            continue
        finished += 1
        progress(finished)
    fallen = [worker.exitcode for worker in workers if worker.exitcode]
    if fallen:
        raise SaywhereError(
            f"{len(fallen)} of {len(workers)} processes ended early (code {fallen[0]}); "
            "what they measured is kept: run again to go on"
        )


def _work(task: Task, samples: list[Sample], path: Path, told: dict[str, Any], done: Any) -> None:
    runner, settings = find_method(task.method, task.settings)
    journal = Journal(path, told)
    measure(task, runner, settings, samples, journal, done.put)
    journal.close()


def cost(runner: Runner, settings: Settings) -> dict[str, Any]:
    """Parameters, and multiply-adds of looking and of answering at 4:3, where the runner is a network."""
    model = getattr(runner, "model", None)
    if model is None:
        return {}
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from saywhere.prompt import Click, Prompt

    image = torch.zeros(1, 3, settings.size * 3 // 4, settings.size, device=next(model.parameters()).device)
    counted = []
    with torch.no_grad():
        with FlopCounterMode(display=False) as counter:
            features = model.encode(image)
        counted.append(counter.get_total_flops() // 2)
        with FlopCounterMode(display=False) as counter:
            model.decode(features, [Prompt((Click(9, 9),))], image[:, :1])
        counted.append(counter.get_total_flops() // 2)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "encode_multiply_adds": counted[0],
        "decode_multiply_adds": counted[1],
    }


def surroundings(command: str, jobs: int) -> dict[str, Any]:
    """Where and how it was measured: what changes times, but not figures."""
    import torch

    peak = resource.getrusage(resource.RUSAGE_SELF if jobs == 1 else resource.RUSAGE_CHILDREN).ru_maxrss
    return {
        "jobs": jobs,
        "peak_memory_mb": round(peak * (1024 if sys.platform == "linux" else 1) / 1e6),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "versions": {"saywhere": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "command": command,
    }


def rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {
        key: round(v, 6) if isinstance(v, float) else [round(x, 6) for x in v] if isinstance(v, tuple) else v
        for key, v in values.items()
    }
