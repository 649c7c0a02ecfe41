"""``saywhere prelabel``: Segment many images from boxes, points or a phrase."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from saywhere.cli.common import advance_bar, console, errors, list_faults
from saywhere.data.notes import group_notes
from saywhere.errors import SaywhereError
from saywhere.parallel.local import Engine
from saywhere.storage.outputs import check_outputs


def prelabel(
    source: Annotated[
        str,
        typer.Argument(help="a COCO JSON file, or a folder of images; a Parquet table, or addresses (s3://, https://)"),
    ],
    out: Annotated[
        str,
        typer.Option(
            help="the COCO JSON file to write; masks go beside it as they come, as .jsonl. Anything else is a folder, "
            "local or by address, for shards of Parquet"
        ),
    ],
    points: Annotated[
        Path | None, typer.Option(help="for a folder: CSV with file,x,y[,label,radius,object,category]")
    ] = None,
    say: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="a phrase for every object; for a folder without points: all such objects"),
    ] = None,
    boxes_with_points: Annotated[
        bool, typer.Option("--boxes-with-points", help="for a COCO file: bbox counts beside points and keypoints")
    ] = False,
    images: Annotated[Path | None, typer.Option(help="folder of a COCO file's images, when not beside it")] = None,
    model: Annotated[str | None, typer.Option(help="as for bench")] = None,
    threads: Annotated[int, typer.Option(min=1, help="processor threads of the network")] = 2,
    jobs: Annotated[int, typer.Option(min=1, help="processes of the local engine")] = 1,
    engine: Annotated[Engine, typer.Option(help="this machine, or a Ray cluster (see RAY_ADDRESS)")] = Engine.LOCAL,
    shard_rows: Annotated[int, typer.Option(min=1, help="shards of Parquet: masks in each")] = 1000,
    retry: Annotated[bool, typer.Option("--retry", help="shards of Parquet: do rows with an error again")] = False,
) -> None:
    """Segment a whole folder of images, or a COCO file, from boxes, points or a phrase.

    The same command given again goes on where a killed one stopped.
    """
    if not out.lower().endswith(".json"):
        unused = {"--points": points, "--images": images, "--boxes-with-points": boxes_with_points or None}
        if given := [name for name, value in unused.items() if value is not None]:
            raise SaywhereError(f"{given[0]}: goes with an output of COCO JSON; a table has its prompts in its columns")
        if engine is not Engine.LOCAL:
            raise SaywhereError("--engine ray: goes with an output of COCO JSON; give --jobs for shards of Parquet")
        prelabel_shards(source, out, say, model, jobs, threads, shard_rows, retry)
        return
    prelabel_coco(Path(source), Path(out), points, say, boxes_with_points, images, model, threads, jobs, engine)


def prelabel_shards(
    source: str, out: str, say: str | None, model: str | None, jobs: int, threads: int, shard_rows: int, retry: bool
) -> None:
    """Segment what a table or addresses ask for, into shards of Parquet; arguments as for :func:`prelabel`."""
    from saywhere.prelabel.table import prelabel_table

    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        advance = partial(advance_bar, progress, progress.add_task("rows", total=None))
        done = prelabel_table(source, out, say, model, None, jobs, threads, shard_rows, retry, advance)
    before = f", {done.skipped:,} done before" if done.skipped else ""
    console.print(f"{done.rows:,} rows{before}: {done.masks:,} masks → {out}", highlight=False, soft_wrap=True)
    if done.errors:
        console.print(f"{done.errors:,} rows with an error; --retry does them again", highlight=False, soft_wrap=True)


def prelabel_coco(
    source: Path, out: Path, points: Path | None, say: str | None, boxes_with_points: bool, images: Path | None,
    model: str | None, threads: int, jobs: int, engine: Engine,
) -> None:  # fmt: skip
    """Segment a folder or a COCO file, into a COCO file; arguments as for :func:`prelabel`."""
    from saywhere.parallel.resumable import journal_path
    from saywhere.prelabel import prelabel as run_prelabel
    from saywhere.prelabel import read_request

    inputs = {"the source itself": source, "--points": points, "--images": images}
    check_outputs({"--out": out, "the journal of --out": journal_path(out)}, inputs)
    request = read_request(source, points, say, images, boxes_with_points)
    if request.faults:
        list_faults(request.faults)
        raise SaywhereError(f"source '{source}': {len(request.faults):,} faults, listed above; mend them first")
    list_faults(group_notes(request.notes))
    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        advance = partial(advance_bar, progress, progress.add_task("objects", total=None))
        result = run_prelabel(request, out, model, None, engine, jobs, threads, advance)
    of = f" of {request.objects:,}" if result.faults and not request.is_open else ""
    counts = f"{result.objects:,}{of} objects in {len(request.prompts):,} images → {out}"
    rest = f"; {request.unprompted:,} images without a prompt" if request.unprompted else ""
    console.print(counts + rest, highlight=False, soft_wrap=True)
    if result.faults:
        list_faults(result.faults)
        raise SaywhereError(f"{len(result.faults):,} images not done, listed above; mend them and run again")
