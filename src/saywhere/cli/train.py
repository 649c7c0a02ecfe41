"""``saywhere train``: Train a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from saywhere.cli.common import console
from saywhere.errors import SaywhereError, needing

if TYPE_CHECKING:
    from saywhere.training.recipe import Recipe


def train(
    recipe: Annotated[str, typer.Argument(help="a recipe by its name, see saywhere models, or a YAML file")],
    out: Annotated[Path | None, typer.Option(help="folder of the run; runs/RECIPE if not given")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="change the recipe, for example crop.size=320"),
    ] = None,
    time_limit: Annotated[str | None, typer.Option(metavar="25m", help="stretch the schedule over this time")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="resume from the last checkpoint")] = False,
    stage: Annotated[str | None, typer.Option(metavar="NAME", help="run from this stage of the recipe on")] = None,
    last_stage: Annotated[str | None, typer.Option(metavar="NAME", help="end with this stage")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="make one step of each stage, print what the run will take, write nothing")
    ] = False,
    lr_test: Annotated[
        bool, typer.Option("--find-lr", help="run the learning-rate range test on the first stage, and suggest a rate")
    ] = False,
) -> None:
    """Train a network; can be killed at any moment and resumed."""
    with needing("torch", "train"):
        from saywhere.evaluation.validate import validator
        from saywhere.training.loop import train as run
        from saywhere.training.recipe_files import read_recipe

    checked = read_recipe(recipe, changes or [])
    folder = out or Path("runs") / Path(recipe).stem
    if dry_run:
        _print_costs(checked, stage, last_stage)
        return
    if lr_test:
        _find_lr(checked, folder, stage)
        return
    limit = seconds(time_limit) if time_limit else None
    written = run(checked, folder, limit, resume, validator, console, stage, last_stage)
    console.print(f"weights → {written}", highlight=False, soft_wrap=True)


def _print_costs(recipe: Recipe, first: str | None, last: str | None) -> None:
    """A line for each stage, by one step of it."""
    from saywhere.training.dry_run import dry_run

    for each in dry_run(recipe, first, last):
        console.print(
            f"{each.name or recipe.name}: {each.steps:,} steps of {each.batch} from {each.objects:,} objects; "
            f"{each.parameters / 1e6:.2f} M parameters, {each.trained / 1e6:.2f} M of them trained; a step of "
            f"{each.rounds} rounds took {each.operations / 1e9:.2f} G multiply-adds and {each.seconds:.1f} s; "
            f"{each.memory / 1e6:,.0f} MB; {each.steps * each.seconds / 3600:.1f} h",
            highlight=False, soft_wrap=True,
        )  # fmt: skip
    console.print("by the first step of each, which is slower than others; nothing was written", highlight=False)


def _find_lr(recipe: Recipe, folder: Path, stage: str | None) -> None:
    """The range test of one stage, its curve, and the change of the recipe that it suggests."""
    from saywhere.evaluation.run_report import write_range_test
    from saywhere.training.find_lr import find_lr
    from saywhere.training.stages import WEIGHTS, list_stages, select_stages, stage_folder

    chosen = select_stages(list_stages(recipe), stage, None)[0]
    start = None if chosen.after is None else stage_folder(folder, chosen.after) / WEIGHTS
    if start is not None and not start.is_file():
        raise SaywhereError(f"stage '{chosen.name}': comes after '{chosen.after}', whose '{start}' is not there")
    result = find_lr(chosen.recipe, folder, start, console=console)
    key = f"stages.{chosen.name}.optimiser.lr" if chosen.name else "optimiser.lr"
    curve = write_range_test(result.rates, result.losses, result.suggestion, folder)
    now = chosen.recipe.optimiser.lr
    console.print(f"curve → {curve}", highlight=False, soft_wrap=True)
    console.print(f"suggested: --set {key}={result.suggestion:g} (it is {now:g})", highlight=False, soft_wrap=True)


def seconds(text: str) -> float:
    """``"90s"``, ``"25m"`` or ``"2h"`` to seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not match:
        raise SaywhereError(f"--time-limit {text!r}: give a number and s, m or h, for example 25m")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
