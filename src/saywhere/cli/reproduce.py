"""``saywhere reproduce``: A published paper's tables at small scale."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress, TaskID

from saywhere.cli.bench import command_line
from saywhere.cli.common import advance_bar, console, errors
from saywhere.cli.train import seconds
from saywhere.errors import SaywhereError, needing


def reproduce(
    name: Annotated[
        str,
        typer.Argument(help="phraseclick, textclick, dctnet, sequential, multistage, or saywhere (each idea left out)"),
    ],
    small: Annotated[
        bool, typer.Option("--small", help="at the scale of one machine, the only one that there is a definition for")
    ] = False,
    out: Annotated[Path | None, typer.Option(help="folder of the run; runs/reproduce-NAME if not given")] = None,
    table: Annotated[list[str] | None, typer.Option(help="only this table; several are possible")] = None,
    time_limit: Annotated[
        str | None, typer.Option(metavar="2h", help="share this time over trainings and evaluations")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="training steps of each network")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="objects of each evaluation, evenly spread")] = None,
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="change every recipe, as for saywhere train")
    ] = None,
    shipped: Annotated[
        bool, typer.Option(help="measure the weights that ship in tables that compare no networks")
    ] = True,
    threads: Annotated[int, typer.Option(min=1, help="processor threads of evaluations")] = 2,
    jobs: Annotated[int, typer.Option(min=1, help="processes of evaluations")] = 1,
) -> None:
    """Train a paper's small network and its ablations, measure them, and write its tables with the published values.

    Can be killed at any moment; the same command goes on where it stopped.
    """
    if not small:
        raise SaywhereError("reproduce: add --small; the papers' own scale is saywhere train NAME with their data sets")
    with needing("torch", "reproduce"):
        from saywhere.evaluation.reproduce.definition import read_definition
        from saywhere.evaluation.reproduce.run import Options
        from saywhere.evaluation.reproduce.run import reproduce as run

    definition = read_definition(name)
    folder = out or Path("runs") / f"reproduce-{name}"
    options = Options(
        table, steps, limit, seconds(time_limit) if time_limit else None, tuple(changes or ()), shipped, threads, jobs,
        command_line(),
    )  # fmt: skip
    bars: dict[str, tuple[Progress, TaskID]] = {}

    def advance(item: str, done: int, total: int) -> None:
        if item not in bars:
            progress = Progress(console=errors, disable=not errors.is_terminal)
            progress.start()
            bars[item] = progress, progress.add_task(item, total=total)
        advance_bar(*bars[item], done, total)
        if done >= total:
            bars[item][0].stop()

    try:
        run(name, definition, folder, options, console, advance)
    finally:
        for progress, _ in bars.values():
            progress.stop()
    console.print(f"tables → {folder / 'table.md'}", highlight=False, soft_wrap=True)
