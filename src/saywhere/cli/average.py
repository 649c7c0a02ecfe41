"""``saywhere average``: Average weights."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saywhere.cli.common import console
from saywhere.errors import needing
from saywhere.storage.outputs import check_outputs


def average(
    weights: Annotated[list[Path], typer.Argument(help="two weights files or more, of one network", metavar="FILE...")],
    out: Annotated[Path, typer.Option(help="the weights file to write")],
) -> None:
    """Average weights that were trained from the same beginning, and measure the mean."""
    with needing("torch", "average"):
        from saywhere.evaluation.validate import validator
        from saywhere.training.average import average_weights
    check_outputs({"--out": out}, {f"the weights '{path}'": path for path in weights})
    average_weights(weights, out, validator)
    console.print(f"{out}: the mean of {len(weights)} weights", highlight=False, soft_wrap=True)
