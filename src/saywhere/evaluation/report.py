"""One page that shows runs side by side: table, curves, bars, gallery, commands. No file but itself is needed."""

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
from rich.table import Table

from saywhere.core import metrics
from saywhere.core.arrays import ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.images import read_image
from saywhere.core.rle import RunLengths
from saywhere.data.datasets import Sample, load_dataset
from saywhere.errors import needing
from saywhere.evaluation.benchmark import Task, journal_path
from saywhere.evaluation.evaluate import Interaction, prompt_of
from saywhere.evaluation.journal import read_records
from saywhere.evaluation.summary import Records, ious_of, per_object
from saywhere.storage.atomic import write_atomically
from saywhere.storage.render import draw

SHOWN = 6  # objects in each row of the gallery
SIDE = 320  # pixels of a gallery picture's longer side
COLUMNS = {
    "model": "{}", "data": "{}", "interaction": "{}", "objects": "{}", "noc85": "{:.2f}", "noc90": "{:.2f}",
    "nof90": "{}", "miou1": "{:.3f}", "miou3": "{:.3f}", "miou5": "{:.3f}", "auc": "{:.3f}", "boundary_iou1": "{:.3f}",
    "first_mask_ms_p50": "{:.0f}", "click_ms_p50": "{:.0f}", "click_ms_p95": "{:.0f}",
}  # fmt: skip
SEQUENCE_ROWS = {
    "objects": "{}", "sequences": "{}", "seeds": "{}", "noc85": "{:.2f}", "noc90": "{:.2f}", "nof90": "{:.1f}",
    "proposed_right": "{:.3f}", "miou0": "{:.3f}", "miou1": "{:.3f}", "first_mask_ms_p50": "{:.0f}",
    "click_ms_p50": "{:.0f}",
}  # fmt: skip
CONDITIONS = (
    "size", "zoom", "zoom_size", "zoom_margin", "drag_margin", "unclicked_components", "max_zoom_steps",
    "previous_mask_from", "enlarge", "threshold", "flip", "phrase", "refine", "most_interactions", "threads",
    "device", "weights",
)  # fmt: skip


def table(runs: Sequence[dict[str, Any]]) -> Table:
    """The figures a person looks at first, for the terminal: a column for each run."""
    shown = Table("figure", *(f"{run['model']}, {run['data']}, by {how(run)}" for run in runs))
    for name, *values in zip(COLUMNS, *(cells(run) for run in runs), strict=True):
        if name not in ("model", "data", "interaction"):
            shown.add_row(name, *values)
    return shown


def sequence_table(runs: Sequence[dict[str, Any]]) -> Table:
    """What runs of sequences came to: a column for each, with its NoC@90 against the number annotated before."""
    shown = Table("figure", *(sequence_name(run) for run in runs))
    for name, form in SEQUENCE_ROWS.items():
        if all(name in run for run in runs):
            shown.add_row(name, *(form.format(run[name]) for run in runs))
    key = curve_key(runs)
    for low, high in dict.fromkeys((low, high) for run in runs for low, high, *_ in run[key]):
        values = [next((f"{v:.2f}" for a, b, v, _ in run[key] if (a, b) == (low, high)), "") for run in runs]
        shown.add_row(f"{key.removesuffix('_curve')}, object {low + 1} to {high}", *values)
    return shown


def sequence_name(run: dict[str, Any]) -> str:
    """What tells a run of sequences from another."""
    parts = [word for word, on in (("proposals", run["propose"]), ("learning", run["learn"])) if on]
    return f"{run['model']}, {run['data']}, {' and '.join(parts) or 'neither'}"


def curve_key(runs: Sequence[dict[str, Any]]) -> str:
    """The hardest NoC that all runs measured."""
    shared = set.intersection(*({name for name in run if name.startswith("noc")} for run in runs))
    return max(name for name in shared if name.endswith("_curve") and len(name) == len("noc90_curve"))


def check_installed() -> None:
    """SaywhereError, before anything is measured, where a page could not be drawn."""
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
        places = [np.sqrt((low + 1) * high) for low, high, *_ in run[key]]
        axis.plot(places, [value for _, _, value, _ in run[key]], marker=".", label=sequence_name(run))
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
    shown = run | {"interaction": how(run)}
    return [form.format(shown[name]) for name, form in COLUMNS.items()]


def how(run: dict[str, Any]) -> str:
    """What the robot did: click or drag, and the phrase that it said."""
    return run["interaction"] + (f", phrase {run['phrase']}" if run.get("phrase") else "")


def write_report(
    folder: Path, runs: Sequence[dict[str, Any]], records: Sequence[Records], samples: Sequence[Sequence[Sample]]
) -> Path:
    """``folder/index.html`` for runs, their interactions and their objects, in the same order."""
    from jinja2 import Environment

    template = Environment(autoescape=True).from_string(files(__package__).joinpath("report.html").read_text())
    page = template.render(
        columns=list(COLUMNS),
        rows=[cells(run) for run in runs],
        conditions=[(run["model"], run["data"], {name: run[name] for name in CONDITIONS}) for run in runs],
        curves=curves(runs, records),
        bars=bars(runs, records),
        classes=[(run["model"], run["data"], class_rows(run), class_means(run)) for run in runs],
        galleries=[
            (run["model"], run["data"], gallery(found, some))
            for run, found, some in zip(runs, records, samples, strict=True)
        ],
        commands=sorted({run["command"] for run in runs}),
        surroundings=json.dumps(
            [{k: run[k] for k in ("machine", "versions", "engine", "jobs", "peak_memory_mb")} for run in runs], indent=1
        ),
    )
    write_atomically(folder / "index.html", page.encode())
    return folder / "index.html"


def class_rows(run: dict[str, Any]) -> list[tuple[str, int, str, str, str]]:
    """Label, objects, NoC@90, mIoU@1 and whether it was trained on, "" where nobody said; none without labels."""
    found = run["classes"]
    kind = {True: "seen", False: "unseen"} if "seen" in found else {True: "", False: ""}
    return [
        (
            label,
            count,
            f"{found['noc90'][label]:.2f}",
            f"{found['miou1'][label]:.3f}",
            kind[label in found.get("seen", ())],
        )
        for label, count in found["objects"].items()
    ]


def class_means(run: dict[str, Any]) -> str:
    """The means over labels that were trained on and over those that were not, where somebody said which they are."""
    found = run["classes"]
    told = [
        f"{kind} labels: NoC@90 {found[f'noc90_{kind}']:.2f}, mIoU@1 {found[f'miou1_{kind}']:.3f}"
        for kind in ("seen", "unseen")
        if found.get(f"noc90_{kind}") is not None
    ]
    return "; ".join(told)


def curves(runs: Sequence[dict[str, Any]], records: Sequence[Records]) -> str:
    """Mean IoU against interactions, one panel a data set."""
    import matplotlib.pyplot as plt

    datasets = sorted({run["data"] for run in runs})
    figure, axes = plt.subplots(1, len(datasets), figsize=(5.5 * len(datasets), 3.8), squeeze=False)
    for panel, data in zip(axes[0], datasets, strict=True):
        for run, found in zip(runs, records, strict=True):
            if run["data"] == data:
                steps = range(1, run["most_interactions"] + 1)
                ious = ious_of(found).values()
                means = [float(np.mean([some[min(k, len(some)) - 1] for some in ious])) for k in steps]
                panel.plot(steps, means, marker=".", label=f"{run['model']} ({how(run)})")
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
        for run, found in zip(runs, records, strict=True):
            metric = per_object(run["most_interactions"])[name]
            for key, ious in ious_of(found).items():
                metric.update(key, ious)
            low, high = metrics.interval([metric.values[key] for key in sorted(metric.values)])
            means.append(metric.compute())
            errors.append((means[-1] - low, high - means[-1]))
        places = np.arange(len(runs)) + 0.38 * offset
        axis.barh(places, means, 0.36, xerr=np.array(errors).T, color=colour, capsize=3, label=f"NoC@{name[3:]}")
    axis.set_yticks(np.arange(len(runs)) + 0.19, [f"{r['model']}, {r['data']} ({how(r)})" for r in runs], fontsize=8)
    axis.invert_yaxis()
    axis.set_xlabel("interactions, 95 % interval over objects")
    axis.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return as_svg(figure)


def as_svg(figure: Any) -> str:
    import matplotlib.pyplot as plt

    buffer = io.StringIO()
    figure.tight_layout()
    figure.savefig(buffer, format="svg")
    plt.close(figure)
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def gallery(records: Records, samples: Sequence[Sample]) -> list[tuple[str, list[tuple[str, str]]]]:
    """The worst and the median objects by their mean IoU over all interactions: (heading, [(caption, picture)])."""
    ranked = sorted(records, key=lambda name: (np.mean([i.iou for i in records[name]]), name))
    middle = max(len(ranked) // 2 - SHOWN // 2, 0)
    by_name = {sample.name: sample for sample in samples}
    return [
        (heading, [(caption(records[name]), picture(by_name[name], records[name])) for name in some])
        for heading, some in (("worst", ranked[:SHOWN]), ("median", ranked[middle : middle + SHOWN]))
    ]


def caption(some: Sequence[Interaction]) -> str:
    last = some[-1]
    label = f" {last.label}" if last.label else ""
    return f"{last.object}{label}: IoU {some[0].iou:.2f} after 1, {last.iou:.2f} after {last.k}"


def picture(sample: Sample, some: Sequence[Interaction]) -> str:
    """The answer after up to three interactions, with its clicks, as a data URL."""
    photo: ImageArray = read_image(sample.photo)
    shown = some[min(len(some), 3) - 1]
    mask = RunLengths.from_counts(shown.mask, ImageSize(photo.shape[0], photo.shape[1])).mask()
    drawn = draw(photo, mask, prompt_of(some[: shown.k]))
    scale = SIDE / max(drawn.shape[:2])
    small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    _, packed = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 80])
    return f"data:image/jpeg;base64,{base64.b64encode(packed.tobytes()).decode()}"


def report_of(folder: Path, tasks: Sequence[Task], outs: Sequence[Path], results: Sequence[dict[str, Any]]) -> Path:
    """A report from what runs left on disk; the networks are not needed again."""
    records = [read_records(journal_path(out)) for out in outs]
    samples = [load_dataset(task.data) for task in tasks]
    return write_report(folder, results, records, samples)
