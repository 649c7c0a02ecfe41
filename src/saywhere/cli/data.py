"""``saywhere data``: List datasets, or check one."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Column, Table

from saywhere.cli.common import console, errors, list_faults
from saywhere.errors import SaywhereError


def data(
    name: Annotated[
        str | None, typer.Argument(help="a known dataset, a COCO JSON file, or tar shards: check its files")
    ] = None,
    shards: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="write the dataset there as tar shards to train on")
    ] = None,
    images: Annotated[int, typer.Option(min=1, help="with --shards: images in a shard")] = 1000,
) -> None:
    """List datasets: where they are obtained, under which terms, which are here; or check the files of one."""
    from rich.progress import track

    from saywhere.data.datasets import DATASETS, load_dataset
    from saywhere.data.datasets.check import check, describe_local

    if name is None:
        table = Table("name", "published", "on this machine", "licence", Column("obtained", overflow="fold"))
        for dataset in DATASETS.values():
            published = f"{dataset.objects:,} objects" if dataset.objects else ""
            table.add_row(dataset.name, published, describe_local(dataset), dataset.licence, dataset.url)
        console.print(table)
        return
    samples = load_dataset(name)
    if shards is not None:
        from saywhere.data.datasets.shard_writer import write_shards

        written = write_shards(samples, shards, images)
        console.print(f"{len(samples):,} objects in {written:,} shards → {shards}", highlight=False, soft_wrap=True)
        return
    faults = check(track(samples, "checking", console=errors, disable=not errors.is_terminal))
    list_faults(faults)
    if faults:
        raise SaywhereError(f"data '{name}': {len(faults):,} faults, listed above; mend or remove these files first")
    count = DATASETS[name].objects if name in DATASETS else None
    of = f" of {count:,} published" if count else ""
    console.print(f"{name}: {len(samples):,} objects{of}, nothing wrong", highlight=False)
