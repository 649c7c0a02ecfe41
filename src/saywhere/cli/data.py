"""``saywhere data``: List datasets, or check one."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Column, Table

from saywhere.cli.common import console, errors, list_faults
from saywhere.errors import SaywhereError


def data(
    name: Annotated[str | None, typer.Argument(help="a known data set, or a COCO JSON file: check its files")] = None,
) -> None:
    """Data sets: where they are obtained, under which terms, which are here; or what is wrong with one."""
    from rich.progress import track

    from saywhere.data.datasets import DATASETS, load_dataset
    from saywhere.data.datasets.check import check, found

    if name is None:
        table = Table("name", "published", "on this machine", "licence", Column("obtained", overflow="fold"))
        for known in DATASETS.values():
            count = f"{known.objects:,} objects" if known.objects else ""
            table.add_row(known.name, count, found(known), known.licence, known.obtained)
        console.print(table)
        return
    samples = load_dataset(name)
    faults = check(track(samples, "checking", console=errors, disable=not errors.is_terminal))
    list_faults(faults)
    if faults:
        raise SaywhereError(f"data '{name}': {len(faults):,} faults, listed above; mend or remove these files first")
    published = DATASETS[name].objects if name in DATASETS else None
    beside = f" of {published:,} published" if published else ""
    console.print(f"{name}: {len(samples):,} objects{beside}, nothing wrong", highlight=False)
