"""The command line: ``saywhere VERB``. Each verb is a module that reads its options and calls the library."""

from __future__ import annotations

from collections.abc import Sequence

import typer

from saywhere.cli.annotate import annotate
from saywhere.cli.average import average
from saywhere.cli.bench import bench
from saywhere.cli.common import errors
from saywhere.cli.compare import compare
from saywhere.cli.convert import convert
from saywhere.cli.data import data
from saywhere.cli.doctor import doctor
from saywhere.cli.export import export
from saywhere.cli.finetune import finetune
from saywhere.cli.models import models
from saywhere.cli.new_model import new_model
from saywhere.cli.page import page
from saywhere.cli.prelabel import prelabel
from saywhere.cli.renamed import with_new_names
from saywhere.cli.report import report
from saywhere.cli.reproduce import reproduce
from saywhere.cli.segment import segment
from saywhere.cli.study import study
from saywhere.cli.train import train

app = typer.Typer(
    no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None,
    help="Say what, click where, get the object.",
)  # fmt: skip
for verb in (
    segment, train, finetune, report, average, bench, compare, reproduce, prelabel, convert, annotate, page, study,
    data, models, new_model, doctor,
):  # fmt: skip
    app.command()(verb)
app.add_typer(export, name="export")


def warn(line: str) -> None:
    """Print a warning."""
    errors.print(f"saywhere: {line}", style="yellow", highlight=False, markup=False, soft_wrap=True)


def run(arguments: Sequence[str]) -> None:
    """Run the command line with these arguments."""
    app(with_new_names(arguments, warn))


def fail(reason: str) -> None:
    """Print why a command ended."""
    errors.print(f"saywhere: {reason}", style="red", highlight=False, soft_wrap=True)
