"""``saywhere export``: write networks for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saywhere.cli.common import console
from saywhere.errors import needing
from saywhere.storage.outputs import check_outputs

export = typer.Typer(no_args_is_help=True, help="Write networks for other runtimes.")


@export.callback()
def main() -> None:
    """Write networks for other runtimes."""


@export.command()
def graphs(
    weights: Annotated[Path, typer.Argument(help="a weights file of our network")],
    out: Annotated[Path | None, typer.Option(help="the archive; beside the weights if not given")] = None,
) -> None:
    """Write the ONNX graphs of a network, with which its weights run without torch."""
    from saywhere.runtime.artefact import SUFFIX

    with needing("torch", "export"):
        from saywhere.runtime.export import export_graphs

    check_outputs({"--out": out}, {"the weights": weights})
    written = export_graphs(weights, out or weights.with_name(weights.stem + SUFFIX))
    console.print(f"graphs → {written}", highlight=False, soft_wrap=True)
