"""A training run as one page: curves, masks of the same objects over time, the recipe. It needs no other file."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError, needing
from saywhere.evaluation.benchmark import spread
from saywhere.evaluation.report import as_svg
from saywhere.storage.tensors import read_tensor_file

LOG, WEIGHTS, SAMPLES = "log.jsonl", "weights.safetensors", "samples"
NO_FIGURES = ("step", "seconds")
SHOWN = 12  # pictures of a stage, evenly spread over the run


@dataclass(frozen=True)
class StageReport:
    """What the page shows of a stage.

    Attributes:
        name: "" for a run without stages.
        summary: a line.
        curves: an ``<svg>`` element.
        pictures: steps and data URLs.
    """

    name: str
    summary: str
    curves: str
    pictures: Sequence[tuple[int, str]]


def write_run_report(run: Path, out: Path | None = None) -> Path:
    """Write the page of a run of ``saywhere train`` or ``saywhere finetune``.

    Args:
        run: its folder; it may still be going on.
        out: the page; ``report.html`` in the folder if None.

    Returns:
        The page.

    Raises:
        SaywhereError: the folder holds no log, or a library is missing.
    """
    with needing("bench", "report"):
        import matplotlib  # noqa: F401
        from jinja2 import Environment

    logs = sorted(run.rglob(LOG), key=lambda path: path.stat().st_mtime) if run.is_dir() else []
    if not logs:
        raise SaywhereError(f"run '{run}': has no {LOG}; give the folder of saywhere train or saywhere finetune")
    stages = [_stage(log.parent, "" if log.parent in (run, run / "run") else log.parent.name) for log in logs]
    result = _read_json(run / "result.json")
    template = Environment(autoescape=True).from_string(files(__package__).joinpath("run.html").read_text())
    page = template.render(
        title=f"Saywhere run {run.resolve().name}", stages=stages, recipe=_recipe(run, logs),
        figures=_figures(result), verdict=result.get("verdict", ""),
    )  # fmt: skip
    target = out or run / "report.html"
    write_atomically(target, page.encode())
    return target


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a run's log; one that is being written, or was cut off, is left out."""
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            content = json.loads(line)
        except ValueError:
            continue
        if isinstance(content, dict) and "step" in content:
            lines.append(content)
    return lines


def _stage(folder: Path, name: str) -> StageReport:
    lines = read_log(folder / LOG)
    last = lines[-1] if lines else {"step": 0, "seconds": 0}
    done = "finished" if (folder / WEIGHTS).is_file() else "not finished"
    summary = f"{last['step']:,} steps in {last['seconds'] / 60:.1f} minutes, {done}"
    pictures = sorted((folder / SAMPLES).glob("*.jpg"))
    shown = [pictures[i] for i in spread(len(pictures), SHOWN)]
    sources = [
        (int(path.stem), f"data:image/jpeg;base64,{base64.b64encode(path.read_bytes()).decode()}") for path in shown
    ]
    return StageReport(name, summary, _curves(lines), sources)


def _curves(lines: Sequence[dict[str, Any]]) -> str:
    """A panel for each figure of the log, against the step."""
    import matplotlib.pyplot as plt

    names = dict.fromkeys(
        name for line in lines for name, value in line.items()
        if name not in NO_FIGURES and isinstance(value, int | float)
    )  # fmt: skip
    if not names:
        return ""
    columns = min(len(names), 3)
    rows = -(-len(names) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.6 * columns, 2.6 * rows), squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis, name in zip(axes.flat, names, strict=False):
        points = [(line["step"], line[name]) for line in lines if isinstance(line.get(name), int | float)]
        axis.plot(*zip(*points, strict=True), marker="." if len(points) < 30 else None)
        axis.set(title=name, xlabel="step")
        axis.grid(alpha=0.3)
    return as_svg(figure)


def write_range_test(rates: Sequence[float], losses: Sequence[float], suggestion: float, folder: Path) -> Path:
    """Write ``find-lr.svg``: the smoothed loss against the learning rate, with the suggested one.

    Args:
        rates, losses, suggestion: see :class:`saywhere.training.find_lr.RangeTestResult`.
        folder: where it goes.

    Returns:
        The file.

    Raises:
        SaywhereError: a library is missing.
    """
    with needing("bench", "train --find-lr"):
        import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(6, 4))
    axis.plot(rates, losses)
    axis.axvline(suggestion, color="tab:orange", label=f"suggested: {suggestion:g}")
    axis.set(xscale="log", xlabel="learning rate", ylabel="loss, smoothed")
    axis.grid(alpha=0.3)
    axis.legend()
    write_atomically(folder / "find-lr.svg", as_svg(figure).encode())
    return folder / "find-lr.svg"


def _figures(result: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """Rows of the table before and after a fine-tuning; none for another run."""
    return [
        (
            each["figure"],
            f"{each['a']:.3f}",
            f"{each['b']:.3f}",
            f"{each['difference']:+.3f} ({each['low']:+.3f} to {each['high']:+.3f})",
        )
        for each in result.get("differences", [])
    ]


def _recipe(run: Path, logs: Sequence[Path]) -> str:
    """The recipe as the weights have it; nothing before there are weights."""
    weights = [run / WEIGHTS, *(log.parent / WEIGHTS for log in reversed(logs))]
    path = next((path for path in weights if path.is_file()), None)
    recipe = None if path is None else read_tensor_file(path).metadata.get("recipe")
    return "" if recipe is None else yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}
