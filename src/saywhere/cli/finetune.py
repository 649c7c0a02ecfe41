"""``saywhere finetune``: Adapt the weights to one's own objects."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from saywhere.cli.common import console, list_faults
from saywhere.core.atomic import write_atomically
from saywhere.core.processes import end_with_parent
from saywhere.data.notes import group_notes
from saywhere.errors import SaywhereError, needing

LOW_PRIORITY = 15  # of 19


def finetune(
    data: Annotated[
        Path,
        typer.Argument(
            help="a COCO JSON file; a folder that was annotated; or what convert reads: YOLO, VOC, LabelMe, "
            "Label Studio, PNG masks"
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="a new folder for the weights and all that led to them; runs/DATA-finetuned if not given"),
    ] = None,
    weights: Annotated[str, typer.Option(help="to start from: a shipped name or a file")] = "saywhere",
    images: Annotated[Path | None, typer.Option(help="folder of the images, when not in its usual place")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="the encoder learns too: slower, for other kinds of images")
    ] = False,
    time_limit: Annotated[str, typer.Option(metavar="4m", help="how long it trains")] = "4m",
    holdout: Annotated[float, typer.Option(min=0.05, max=0.9, help="share of the images that is held out")] = 0.25,
    limit: Annotated[int, typer.Option(min=1, help="held-out objects that are measured")] = 100,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change the recipe finetune")
    ] = None,
    status: Annotated[
        Path | None, typer.Option(help="a file that says how far it is, as JSON, for other programs")
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help="with low priority, and end when the program ends that started this")
    ] = False,
) -> None:
    """Adapt the weights to one's own objects, in minutes on a processor; measures before and after on held-out images.

    The same command given again goes on where a killed one stopped.
    """
    from saywhere.cli.train import seconds

    if background:
        if hasattr(os, "nice"):  # not on Windows
            os.nice(LOW_PRIORITY)
        end_with_parent(os.getppid())

    with needing("torch", "finetune"):
        from saywhere.evaluation.finetune import finetune as run

    def report(phase: str, done: float, total: float) -> None:
        if status is not None:
            write_atomically(status, json.dumps({"phase": phase, "done": done, "total": total}).encode())

    folder = out or Path("runs") / f"{data.resolve().stem}-finetuned"
    with tempfile.TemporaryDirectory() as temporary:
        source, photos = as_coco(data, images, Path(temporary) / "converted.json")
        minutes = seconds(time_limit) / 60.0
        done = run(
            source, folder, weights, photos, everything, minutes, holdout, limit, changes or (), console, report
        )  # fmt: skip
    list_faults(list(done.notes))
    title = f"{done.held_out:,} held-out objects, {done.trained:,} to train on"
    table = Table("figure", "before", "after", "difference (95 %)", title=title)
    for each in done.differences:
        interval = f"{each.difference:+.3f} ({each.low:+.3f} to {each.high:+.3f})"
        table.add_row(each.figure, f"{each.a:.3f}", f"{each.b:.3f}", interval)
    console.print(table)
    kept = "the new weights" if done.improved else "the weights as they were before"
    console.print(f"{done.verdict}: kept {kept} → {done.weights}", highlight=False, soft_wrap=True)
    if done.verdict != "better":
        console.print("more objects, more time (--time-limit) or --all may help", highlight=False)


def as_coco(data: Path, images: Path | None, target: Path) -> tuple[Path, Path | None]:
    """Annotations as a COCO file, and the folder of its images.

    Args:
        data: a COCO JSON file, an annotator's folder, or a place in another format that is read.
        images: the folder of the images, when they are not in their usual place.
        target: where the COCO file is written, unless ``data`` is one.

    Returns:
        The COCO file and the folder of its images; None where that is the usual place.

    Raises:
        SaywhereError: it is of no known format, or cannot be used.
    """
    from saywhere.annotate.exports.project import is_project, write_project
    from saywhere.data import formats

    if is_project(data):
        list_faults(group_notes(write_project(data, target))[:20])
        return target, data
    if data.is_file() and formats.recognise(data) == "coco":
        return data, images
    options = formats.WriteOptions(False, False, [], False)
    try:
        result = formats.convert(data, target, "coco", None, images, options, full_paths=True)
    except formats.FaultsError as error:
        list_faults(error.faults[:20])
        raise SaywhereError(f"data '{data}': {len(error.faults):,} faults, listed above") from error
    list_faults(group_notes(result.notes)[:20])
    return target, None
