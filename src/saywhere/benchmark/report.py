"""A run of the benchmark as figures, with all that could change them."""

from __future__ import annotations

import json
import os
import platform
import shlex
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.table import Table

from saywhere import __version__
from saywhere.benchmark import evaluate
from saywhere.datasets import load_dataset
from saywhere.files import write_atomically
from saywhere.loading import load_runner
from saywhere.segmenter import Settings


def spread(count: int, limit: int | None) -> list[int]:
    """``limit`` of ``count`` positions, evenly spread; all when there is no limit."""
    if limit is None or limit >= count:
        return list(range(count))
    return [i * count // limit for i in range(limit)]


def bench(
    model: str | None,
    data: str,
    settings: Settings,
    clicks: int,
    drag: bool,
    limit: int | None,
    threads: int,
    progress: Callable[[int, int], None],
    command: list[str],
) -> dict[str, Any]:
    """Figures of some weights on a data set; the robot is deterministic, so there is no seed to tell."""
    import torch

    samples = load_dataset(data)
    samples = [samples[i] for i in spread(len(samples), limit)]
    runner = load_runner(model)
    torch.set_num_threads(threads)
    done = 0

    def one_more() -> None:
        nonlocal done
        done += 1
        progress(done, len(samples))

    progress(0, len(samples))
    result = evaluate.run(runner, samples, settings, clicks, drag, one_more)
    return {
        "model": runner.name,
        "weights": runner.digest,
        "data": data,
        "interaction": "drag" if drag else "click",
        "phrase": False,
        "most_interactions": clicks,
        **asdict(settings),
        "flip": False,
        **{k: round(v, 5) for k, v in evaluate.figures(result, clicks).items()},
        "threads": threads,
        "device": str(runner.device),
        "machine": f"{platform.machine()}, {os.cpu_count()} processors",
        "versions": {"saywhere": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "command": shlex.join(command),
        "ious": {name: [round(v, 4) for v in ious] for name, ious in result.ious.items()},
    }


def write(path: Path, figures: dict[str, Any]) -> None:
    write_atomically(path, json.dumps(figures, indent=1).encode())


def table(figures: dict[str, Any]) -> Table:
    """The figures a person looks at first."""
    shown = Table(title=f"{figures['model']} on {figures['data']}, by {figures['interaction']}")
    columns = {
        "objects": "{}", "noc85": "{:.2f}", "noc90": "{:.2f}", "nof90": "{}", "miou1": "{:.3f}", "miou3": "{:.3f}",
        "miou5": "{:.3f}", "first_mask_ms_p50": "{:.0f}", "click_ms_p50": "{:.0f}", "click_ms_p95": "{:.0f}",
    }  # fmt: skip
    for name in columns:
        shown.add_column(name, justify="right")
    shown.add_row(*(form.format(figures[name]) for name, form in columns.items()))
    return shown
