"""Masks for a dataset of FiftyOne: ``python -m integrations.fiftyone DATASET --say cat``."""

from __future__ import annotations

from typing import Annotated

import typer

from integrations.command import errors_in_one_line
from saywhere import SaywhereError, load


def main(
    dataset: Annotated[str, typer.Argument(help="name of a dataset")],
    say: Annotated[list[str] | None, typer.Option(help="what to look for; may be given several times")] = None,
    boxes: Annotated[str | None, typer.Option(help="a field of detections, whose boxes get masks")] = None,
    field: Annotated[
        str, typer.Option(help="where the masks are stored; samples that have it are skipped")
    ] = "saywhere",
    model: Annotated[str | None, typer.Option(help="weights; as for saywhere segment")] = None,
) -> None:
    """Segment the samples of a dataset that have no masks yet."""
    with errors_in_one_line("fiftyone"):
        import fiftyone as fo

        from integrations.fiftyone.samples import ERROR_FIELD, apply

        if not fo.dataset_exists(dataset):
            known = ", ".join(fo.list_datasets()) or "none"
            raise SaywhereError(f"dataset '{dataset}': there is none of this name; there are: {known}")
        report = apply(fo.load_dataset(dataset), load(model), tuple(say or ()), boxes, field)
    typer.echo(f"{report.objects} objects in {report.samples} samples; {report.skipped} had the field '{field}'")
    if report.failed:
        typer.echo(f"{report.failed} failed: see the field '{ERROR_FIELD}'", err=True)
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
