"""Runs side by side: tables for the terminal, and a page with table, curves, bars, gallery and commands.

The page is one file that needs no other.
"""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from saywhere.core import metrics
from saywhere.core.arrays import ImageArray
from saywhere.core.atomic import write_atomically
from saywhere.core.geometry import ImageSize
from saywhere.core.images import read_image
from saywhere.core.render import draw
from saywhere.core.rle import RunLengths
from saywhere.data.datasets import Sample
from saywhere.errors import needing
from saywhere.evaluation.benchmark import Measurement
from saywhere.evaluation.evaluate import Interaction, prompt_of
from saywhere.evaluation.summary import Records, ious_of, values_of

ENVIRONMENT = ("machine", "versions", "engine", "jobs", "peak_memory_mb")
Cells = tuple[list[str], list[list[str]]]  # a header, and rows
SHOWN = 6  # objects in each row of the gallery
SIDE = 320  # pixels of a gallery picture's longer side
COLUMNS = {
    "model": "{}", "data": "{}", "interaction": "{}", "objects": "{}", "noc85": "{:.2f}", "noc90": "{:.2f}",
    "nof90": "{}", "miou1": "{:.3f}", "miou3": "{:.3f}", "miou5": "{:.3f}", "auc": "{:.3f}", "boundary_iou1": "{:.3f}",
    "first_mask_ms_p50": "{:.0f}", "click_ms_p50": "{:.0f}", "click_ms_p95": "{:.0f}",
}  # fmt: skip
ROWS_OF_SOME = {
    "noc90": {"noc90_clicks_only": "{:.2f}", "choices": "{:.2f}"},
    "miou1": {"best_candidate_miou1": "{:.3f}", "best_candidate_chosen": "{:.3f}"},
}  # after a row, those that only some runs have
SEQUENCE_ROWS = {
    "objects": "{}", "sequences": "{}", "seeds": "{}", "noc85": "{:.2f}", "noc90": "{:.2f}", "nof90": "{:.1f}",
    "proposed_right": "{:.3f}", "miou0": "{:.3f}", "miou1": "{:.3f}", "first_mask_ms_p50": "{:.0f}",
    "click_ms_p50": "{:.0f}",
}  # fmt: skip
CONDITIONS = (
    "size", "zoom", "zoom_size", "later_zoom_size", "zoom_margin", "drag_margin", "unclicked_components",
    "max_zoom_steps", "previous_mask_from", "enlarge", "threshold", "flip", "keep_clicked", "candidate_choice",
    "phrase", "refine", "most_interactions", "threads", "device", "weights",
)  # fmt: skip


def table(runs: Sequence[dict[str, Any]]) -> Cells:
    """The most important figures for the terminal: a column for each run."""
    header = ["figure", *(f"{run['model']}, {run['data']}, by {prompts_of(run)}" for run in runs)]
    rows = zip(COLUMNS, *(cells(run) for run in runs), strict=True)
    shown = []
    for row in rows:
        if row[0] not in ("model", "data", "interaction"):
            shown.append(list(row))
        for name, form in ROWS_OF_SOME.get(row[0], {}).items():
            if any(name in run for run in runs):
                shown.append([name, *(form.format(run[name]) if name in run else "" for run in runs)])
    return header, shown


def summary_header(times: bool = False) -> list[str]:
    """The columns of :func:`summary_row`."""
    columns = ["method", "data", "objects", "interaction", "NoC@85", "NoC@90", "mIoU@1"]
    return [*columns, "ms per click, p50 / p95"] if times else columns


def summary_row(run: dict[str, Any], times: bool = False) -> list[str]:
    """The figures of a run that documents quote, with intervals; the time of a click where it is wanted."""
    row = [
        run["model"],
        run["data"],
        str(run["objects"]),
        prompts_of(run),
        f"{run['noc85']:.2f}",
        with_interval(run, "noc90", 2),
        with_interval(run, "miou1", 3),
    ]
    return [*row, f"{run['click_ms_p50']:.0f} / {run['click_ms_p95']:.0f}"] if times else row


def with_interval(run: dict[str, Any], name: str, digits: int) -> str:
    """A figure with its interval."""
    low, high = run[f"{name}_interval"]
    return f"{run[name]:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def sequence_table(runs: Sequence[dict[str, Any]]) -> Cells:
    """The figures of sequences for the terminal: a column for each run, and NoC against the number annotated before."""
    rows = [
        [name, *(form.format(run[name]) for run in runs)]
        for name, form in SEQUENCE_ROWS.items()
        if all(name in run for run in runs)
    ]
    key = curve_key(runs)
    for low, high in dict.fromkeys((low, high) for run in runs for low, high, *_ in run[key]):
        values = [next((f"{v:.2f}" for a, b, v, _ in run[key] if (a, b) == (low, high)), "") for run in runs]
        rows.append([f"{key.removesuffix('_curve')}, object {low + 1} to {high}", *values])
    return ["figure", *(sequence_name(run) for run in runs)], rows


def sequence_name(run: dict[str, Any]) -> str:
    """The name of a run of sequences, in tables and plots."""
    parts = [word for word, on in (("proposals", run["propose"]), ("learning", run["learn"])) if on]
    return f"{run['model']}, {run['data']}, {' and '.join(parts) or 'neither'}"


def curve_key(runs: Sequence[dict[str, Any]]) -> str:
    """The key of the curve of the NoC with the highest IoU that all runs measured."""
    shared = set.intersection(*({name for name in run if name.startswith("noc")} for run in runs))
    return max(name for name in shared if name.endswith("_curve") and len(name) == len("noc90_curve"))


def check_installed() -> None:
    """Check, before anything is measured, that a page can be drawn.

    Raises:
        SaywhereError: a library is missing.
    """
    with needing("bench", "--report"):
        import jinja2  # noqa: F401
        import matplotlib  # noqa: F401


def write_curves(folder: Path, runs: Sequence[dict[str, Any]]) -> Path:
    """``folder/index.html`` with NoC against the number annotated before, and the commands."""
    import matplotlib.pyplot as plt
    from jinja2 import Environment

    key = curve_key(runs)
    figure, axis = plt.subplots(figsize=(7, 4))
    for run in runs:
        positions = [np.sqrt((low + 1) * high) for low, high, *_ in run[key]]
        axis.plot(positions, [value for _, _, value, _ in run[key]], marker=".", label=sequence_name(run))
    axis.set(xscale="log", xlabel="object of the sequence", ylabel=key.removesuffix("_curve"), ylim=(0, None))
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    page = Environment(autoescape=True).from_string(files(__package__).joinpath("sequences.html").read_text())
    rows = [(name, [form.format(run[name]) for run in runs]) for name, form in SEQUENCE_ROWS.items() if name in runs[0]]
    written = page.render(
        names=[sequence_name(run) for run in runs], rows=rows, curve=as_svg(figure),
        commands=sorted({run["command"] for run in runs}),
    )  # fmt: skip
    write_atomically(folder / "index.html", written.encode())
    return folder / "index.html"


def cells(run: dict[str, Any]) -> list[str]:
    """The figures of a run as text, one for each of COLUMNS."""
    shown = run | {"interaction": prompts_of(run)}
    return [form.format(shown[name]) for name, form in COLUMNS.items()]


def prompts_of(run: dict[str, Any]) -> str:
    """What the robot user gives: a box first, clicks or drags, where the first is, choices, and which phrase."""
    place = run.get("clicks_like", "centre")
    parts = [
        ("box, then " if run.get("box") else "") + run["interaction"],
        f"first like {place}" if place != "centre" else "",
        "choice of candidates" if run.get("step_candidates") else "",
        f"phrase {run['phrase']}" if run.get("phrase") else "",
    ]
    return ", ".join(part for part in parts if part)


def write_report(folder: Path, measurements: Sequence[Measurement]) -> Path:
    """Write a page that shows runs side by side.

    Args:
        folder: where ``index.html`` goes.
        measurements: the runs.

    Returns:
        The page.
    """
    from jinja2 import Environment

    runs = [measurement.figures for measurement in measurements]
    records = [measurement.records for measurement in measurements]

    template = Environment(autoescape=True).from_string(files(__package__).joinpath("report.html").read_text())
    page = template.render(
        columns=list(COLUMNS),
        rows=[cells(run) for run in runs],
        conditions=[(run["model"], run["data"], {name: run[name] for name in CONDITIONS}) for run in runs],
        curves=curves(runs, records),
        bars=bars(runs, records),
        classes=[(run["model"], run["data"], class_rows(run), class_means(run)) for run in runs],
        galleries=[
            (one.figures["model"], one.figures["data"], gallery(one.records, one.samples)) for one in measurements
        ],
        commands=sorted({run["command"] for run in runs}),
        environments=json.dumps([{key: run[key] for key in ENVIRONMENT} for run in runs], indent=1),
    )
    write_atomically(folder / "index.html", page.encode())
    return folder / "index.html"


def class_rows(run: dict[str, Any]) -> list[tuple[str, int, str, str, str]]:
    """Label, objects, NoC@90, mIoU@1 and whether it was trained on, "" where that is unknown; none without labels."""
    by_label = run["classes"]
    kind = {True: "seen", False: "unseen"} if "seen" in by_label else {True: "", False: ""}
    return [
        (
            label,
            count,
            f"{by_label['noc90'][label]:.2f}",
            f"{by_label['miou1'][label]:.3f}",
            kind[label in by_label.get("seen", ())],
        )
        for label, count in by_label["objects"].items()
    ]


def class_means(run: dict[str, Any]) -> str:
    """The means over labels that were trained on and over those that were not, where it is known which they are."""
    by_label = run["classes"]
    return "; ".join(
        f"{kind} labels: NoC@90 {by_label[f'noc90_{kind}']:.2f}, mIoU@1 {by_label[f'miou1_{kind}']:.3f}"
        for kind in ("seen", "unseen")
        if by_label.get(f"noc90_{kind}") is not None
    )


def curves(runs: Sequence[dict[str, Any]], records: Sequence[Records]) -> str:
    """Mean IoU against interactions, one panel a data set."""
    import matplotlib.pyplot as plt

    datasets = sorted({run["data"] for run in runs})
    figure, axes = plt.subplots(1, len(datasets), figsize=(5.5 * len(datasets), 3.8), squeeze=False)
    for panel, data in zip(axes[0], datasets, strict=True):
        for run, interactions in zip(runs, records, strict=True):
            if run["data"] == data:
                steps = range(1, run["most_interactions"] + 1)
                ious = ious_of(interactions).values()
                means = [float(np.mean([values[min(k, len(values)) - 1] for values in ious])) for k in steps]
                panel.plot(steps, means, marker=".", label=f"{run['model']} ({prompts_of(run)})")
        panel.set(title=data, xlabel="interactions", ylabel="mean IoU", ylim=(0, 1))
        panel.xaxis.get_major_locator().set_params(integer=True)
        panel.grid(alpha=0.3)
        panel.legend(fontsize=8, loc="lower right")
    return as_svg(figure)


def bars(runs: Sequence[dict[str, Any]], records: Sequence[Records]) -> str:
    """NoC@85 and @90 with 95 % bootstrap intervals over objects."""
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(8, 0.6 + 0.55 * len(runs)))
    for offset, (name, colour) in enumerate((("noc85", "tab:blue"), ("noc90", "tab:orange"))):
        means, errors = [], []
        for run, interactions in zip(runs, records, strict=True):
            metric = values_of(name, run["most_interactions"], ious_of(interactions))
            low, high = metrics.bootstrap_interval([metric.values[key] for key in sorted(metric.values)])
            means.append(metric.compute())
            errors.append((means[-1] - low, high - means[-1]))
        positions = np.arange(len(runs)) + 0.38 * offset
        axis.barh(positions, means, 0.36, xerr=np.array(errors).T, color=colour, capsize=3, label=f"NoC@{name[3:]}")
    axis.set_yticks(
        np.arange(len(runs)) + 0.19, [f"{r['model']}, {r['data']} ({prompts_of(r)})" for r in runs], fontsize=8
    )
    axis.invert_yaxis()
    axis.set_xlabel("interactions, 95 % interval over objects")
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return as_svg(figure)


def as_svg(figure: Any) -> str:
    """A matplotlib figure as an ``<svg>`` element; closes it."""
    import matplotlib.pyplot as plt

    buffer = io.StringIO()
    figure.tight_layout()
    figure.savefig(buffer, format="svg")
    plt.close(figure)
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def gallery(records: Records, samples: Sequence[Sample]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The worst and the median objects by their mean IoU over all interactions.

    Returns:
        For each of both the heading, and a caption and an image (a data URL) for each object.
    """
    ranked = sorted(records, key=lambda name: (np.mean([i.iou for i in records[name]]), name))
    middle = max(len(ranked) // 2 - SHOWN // 2, 0)
    by_name = {sample.name: sample for sample in samples}
    return [
        (heading, [(caption(records[name]), thumbnail(by_name[name], records[name])) for name in names])
        for heading, names in (("worst", ranked[:SHOWN]), ("median", ranked[middle : middle + SHOWN]))
    ]


def caption(interactions: Sequence[Interaction]) -> str:
    """An object's name, label and IoU after the first and the last interaction."""
    first, last = interactions[0], interactions[-1]
    label = f" {last.label}" if last.label else ""
    return f"{last.object}{label}: IoU {first.iou:.2f} after 1, {last.iou:.2f} after {last.k}"


def thumbnail(sample: Sample, interactions: Sequence[Interaction]) -> str:
    """The mask after up to three interactions, with its clicks, as a data URL."""
    image: ImageArray = read_image(sample.image_path)
    shown = interactions[min(len(interactions), 3) - 1]
    mask = RunLengths.from_counts(shown.mask, ImageSize(image.shape[0], image.shape[1])).mask()
    drawn = draw(image, mask, prompt_of(interactions[: shown.k]))
    scale = SIDE / max(drawn.shape[:2])
    small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, packed = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return f"data:image/jpeg;base64,{base64.b64encode(packed.tobytes()).decode()}"
