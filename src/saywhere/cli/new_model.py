"""``saywhere new-model``: the files of a new network in a clone of the project."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saywhere.cli.common import console


def new_model(
    name: Annotated[str, typer.Argument(help="in lower case, with hyphens between words")],
    clone: Annotated[Path, typer.Option(help="a clone of the project")] = Path(),
) -> None:
    """Write the module, the recipes and the registration of a new network, which works as it is."""
    from saywhere.training.new_model import new_model as write

    for path in write(name, clone):
        console.print(f"→ {path}", highlight=False, soft_wrap=True)
    console.print(f"next: pytest tests/models -k {name}; saywhere train {name}-small --dry-run", highlight=False)
