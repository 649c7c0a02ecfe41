"""``saywhere report``: a training run as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saywhere.cli.common import console


def report(
    run: Annotated[Path, typer.Argument(help="the folder of a run of train or finetune; it may still be going on")],
    out: Annotated[Path | None, typer.Option(help="the page; report.html in the folder if not given")] = None,
) -> None:
    """Write a page with a run's curves, masks of the same objects over time, and its recipe."""
    from saywhere.evaluation.run_report import write_run_report

    console.print(f"→ {write_run_report(run, out)}", highlight=False, soft_wrap=True)
