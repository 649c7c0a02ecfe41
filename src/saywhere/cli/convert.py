"""``saywhere convert``: Convert annotations between formats."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from saywhere.cli.common import advance_bar, console, errors, list_faults, read_text
from saywhere.data.notes import group_notes
from saywhere.errors import SaywhereError

SHOWN = 20  # notes of a conversion


def convert(
    source: Annotated[
        Path, typer.Argument(help="a JSON file of COCO, LabelMe or Label Studio; or a folder in another format")
    ],
    dest: Annotated[Path, typer.Argument(help="what to write: a .json file for coco, else a new folder")],
    to: Annotated[str, typer.Option(help="coco, voc, yolo, labelme or png")],
    from_: Annotated[
        str | None, typer.Option("--from", help="the source's format, if not recognised; also label-studio")
    ] = None,
    images: Annotated[
        Path | None, typer.Option(help="the folder of the images, when they are not in their usual place")
    ] = None,
    polygons: Annotated[bool, typer.Option("--polygons", help="coco, labelme: outlines instead of masks")] = False,
    copy: Annotated[bool, typer.Option("--copy/--no-copy", help="voc, yolo, labelme: images too")] = True,
    keep_crowd: Annotated[
        bool, typer.Option("--keep-crowd", help="crowd regions as objects (CVAT marks every mask as one)")
    ] = False,
    labels: Annotated[Path | None, typer.Option(help="labels, one a line, in the order to number them")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="print counts, notes and faults as JSON")] = False,
) -> None:
    """Annotations from one format to another; says what the other cannot hold."""
    from saywhere.data import formats

    listed = [line for line in read_text(labels, "--labels").splitlines() if line.strip()] if labels else []
    options = formats.WriteOptions(polygons, copy, listed, keep_crowd)
    try:
        with Progress(console=errors, disable=not errors.is_terminal) as progress:
            advance = partial(advance_bar, progress, progress.add_task("images", total=None))
            result = formats.convert(source, dest, to, from_, images, options, advance)
    except formats.FaultsError as error:
        if as_json:
            print(json.dumps({"faults": error.faults}))
        else:
            list_faults(error.faults)
        count = len(error.faults)
        raise SaywhereError(f"source '{source}': {count:,} faults, listed above; nothing was written") from error
    if as_json:
        # Until the next release "photos" says the same as "images".
        print(json.dumps({"dest": str(dest), **vars(result), "photos": result.images}))
        return
    notes = group_notes(result.notes)
    list_faults(notes[:SHOWN])
    if len(notes) > SHOWN:
        list_faults([f"... and {len(notes) - SHOWN:,} notes more; --json has them all"])
    console.print(f"{result.objects:,} objects in {result.images:,} images → {dest}", highlight=False, soft_wrap=True)
