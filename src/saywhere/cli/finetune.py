"""``saywhere finetune``: Adapt the weights to one's own objects."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from saywhere.cli.common import console, list_faults
from saywhere.data.notes import group_notes
from saywhere.errors import needing


def finetune(
    data: Annotated[
        Path,
        typer.Argument(help="a COCO JSON file; or what convert reads: YOLO, VOC, LabelMe, Label Studio, PNG masks"),
    ],
    out: Annotated[Path, typer.Option(help="a new folder for the weights and all that led to them")],
    weights: Annotated[str, typer.Option(help="to start from: a shipped name or a file")] = "saywhere",
    images: Annotated[Path | None, typer.Option(help="folder of the images, when not in its usual place")] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="the encoder learns too: slower, for other kinds of images")
    ] = False,
    time_limit: Annotated[str, typer.Option(metavar="5m", help="how long it trains")] = "5m",
    holdout: Annotated[float, typer.Option(min=0.05, max=0.9, help="share of the images that is held out")] = 0.25,
    limit: Annotated[int, typer.Option(min=1, help="held-out objects that are measured")] = 100,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change the recipe finetune")
    ] = None,
) -> None:
    """Adapt the weights to one's own objects, in minutes on a processor; measures before and after on held-out images.

    The same command given again goes on where a killed one stopped.
    """
    from saywhere.cli.train import seconds
    from saywhere.data import formats

    with needing("torch", "finetune"):
        from saywhere.evaluation.finetune import finetune as run

    with tempfile.TemporaryDirectory() as temporary:
        source, folder = data, images
        if data.suffix != ".json":
            source = Path(temporary) / "converted.json"
            result = formats.convert(data, source, "coco", None, images, formats.WriteOptions(False, False, [], False))
            list_faults(group_notes(result.notes)[:20])
            folder = images or data
        done = run(
            source, out, weights, folder, everything, seconds(time_limit) / 60.0, holdout, limit, changes or (), console
        )
    list_faults(list(done.notes))
    title = f"{done.held_out:,} held-out objects, {done.trained:,} to train on"
    table = Table("figure", "before", "after", "difference (95 %)", title=title)
    for each in done.differences:
        interval = f"{each.difference:+.3f} ({each.low:+.3f} to {each.high:+.3f})"
        table.add_row(each.figure, f"{each.a:.3f}", f"{each.b:.3f}", interval)
    console.print(table)
    console.print(f"{done.verdict}; weights → {done.weights}", highlight=False, soft_wrap=True)
    if done.verdict != "better":
        console.print("more objects, more time (--time-limit) or --all may help; the weights before are as they were")
