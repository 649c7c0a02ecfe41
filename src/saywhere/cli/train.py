"""``saywhere train``: Train a network."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from saywhere.cli.common import console
from saywhere.errors import SaywhereError, needing


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
) -> None:
    """Train a network; can be killed at any moment and resumed."""
    with needing("torch", "train"):
        from saywhere.evaluation.validate import validator
        from saywhere.training.loop import train as run
        from saywhere.training.recipe_files import read_recipe

    checked = read_recipe(recipe, changes or [])
    folder = out or Path("runs") / Path(recipe).stem
    limit = seconds(time_limit) if time_limit else None
    written = run(checked, folder, limit, resume, validator, console, stage, last_stage)
    console.print(f"weights → {written}", highlight=False, soft_wrap=True)


def seconds(text: str) -> float:
    """``"90s"``, ``"25m"`` or ``"2h"`` to seconds."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if not match:
        raise SaywhereError(f"--time-limit {text!r}: give a number and s, m or h, for example 25m")
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]]
