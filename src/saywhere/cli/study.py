"""``saywhere study``: the tables of a user study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saywhere.cli.common import console, print_table


def study(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="[MODE=]FILE ...",
            help="CSV files of saywhere annotate --study, each with the mode that it is of; several may be of one mode",
        ),
    ],
    out: Annotated[Path, typer.Option(help="a folder for study.md and a CSV for each table")] = Path("study"),
) -> None:
    """Write the tables that the papers report of their user studies: interactions, seconds, by mode and by person.

    Without MODE= the mode is the file's name, without "study-" before it.
    """
    from saywhere.annotate.study import read_study, study_tables, write_tables

    objects = []
    for text in files:
        mode, equals, name = text.partition("=")
        if not equals or Path(text).exists():
            mode, name = "", text
        objects += read_study(Path(name), mode or Path(name).stem.removeprefix("study-"))
    tables = study_tables(objects)
    for table in tables:
        print_table([table.title], [])
        print_table(table.header, table.rows, markdown=True)
    written = write_tables(out, tables)
    console.print(f"{len(written)} files → {out}", highlight=False, markup=False, soft_wrap=True)
