"""``saywhere prelabel``: Segment many images from boxes, points or a phrase."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from saywhere.cli.common import advance_bar, console, errors, list_faults
from saywhere.errors import SaywhereError
from saywhere.parallel.local import Engine


def prelabel(
    source: Annotated[Path, typer.Argument(help="a COCO JSON file, or a folder of photographs")],
    out: Annotated[Path, typer.Option(help="COCO JSON of what was found; answers go beside it, as .jsonl")],
    points: Annotated[
        Path | None, typer.Option(help="for a folder: CSV with file,x,y[,label,radius,object,category]")
    ] = None,
    say: Annotated[str | None, typer.Option(metavar="TEXT", help="a phrase for every object or photograph")] = None,
    photos: Annotated[Path | None, typer.Option(help="where a COCO file's photographs lie, when not beside it")] = None,
    model: Annotated[str | None, typer.Option(help="as for bench")] = None,
    threads: Annotated[int, typer.Option(min=1, help="processor threads of the network")] = 2,
    jobs: Annotated[int, typer.Option(min=1, help="processes of the local engine")] = 1,
    engine: Annotated[Engine, typer.Option(help="this machine, or a Ray cluster (see RAY_ADDRESS)")] = Engine.LOCAL,
) -> None:
    """Segment a whole folder of photographs, or a COCO file, from boxes, points or a phrase.

    The same command given again goes on where a killed one stopped.
    """
    from saywhere.prelabel import prelabel as find_all
    from saywhere.prelabel import read_request

    if out.resolve() == source.resolve():
        raise SaywhereError(f"--out '{out}': is the source itself; write elsewhere")
    request = read_request(source, points, say, photos)
    if request.faults:
        list_faults(request.faults)
        raise SaywhereError(f"source '{source}': {len(request.faults):,} faults, listed above; mend them first")
    with Progress(console=errors, disable=not errors.is_terminal) as progress:
        advance = partial(advance_bar, progress, progress.add_task("objects", total=None))
        outcome = find_all(request, out, model, None, engine, jobs, threads, advance)
    of = f" of {request.objects:,}" if outcome.faults else ""
    found = f"{outcome.objects:,}{of} objects in {len(request.photos):,} photographs → {out}"
    nothing = f"; {request.unasked:,} photographs of which nothing was asked" if request.unasked else ""
    console.print(found + nothing, highlight=False)
    if outcome.faults:
        list_faults(outcome.faults)
        raise SaywhereError(f"{len(outcome.faults):,} photographs not done, listed above; mend them and run again")
