"""``saywhere compare``: Compare two runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from saywhere.cli.common import console


def compare(
    a: Annotated[Path, typer.Argument(help="figures of saywhere bench --json")],
    b: Annotated[Path, typer.Argument(help="figures of another run on the same objects")],
) -> None:
    """Whether B is better than A: paired differences over objects with 95 % bootstrap intervals."""
    from saywhere.evaluation import compare as comparing

    table = Table("figure", "A", "B", "B - A", "95 % interval", "")
    for row in comparing.compare(comparing.read_figures(a), comparing.read_figures(b)):
        verdict = "differs" if row.certain else "may be chance"
        table.add_row(
            row.figure,
            f"{row.a:.3f}",
            f"{row.b:.3f}",
            f"{row.difference:+.3f}",
            f"{row.low:+.3f} to {row.high:+.3f}",
            verdict,
        )
    console.print(table)
