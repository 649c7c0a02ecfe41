"""``saywhere annotate``: Annotate images in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saywhere.cli.common import errors


def annotate(
    folder: Annotated[Path, typer.Argument(help="a folder of photographs")],
    label: Annotated[list[str] | None, typer.Option(help="a label to begin with; more are made in the page")] = None,
    host: Annotated[str, typer.Option(help="another address than this machine's own asks for a token")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free")] = 8765,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="PostgreSQL or another SQLite file than FOLDER/.saywhere")
    ] = None,
    model: Annotated[str | None, typer.Option(help="as for bench")] = None,
    study: Annotated[str | None, typer.Option(help="click, phraseclick or drag: only these, to compare people")] = None,
    threads: Annotated[int, typer.Option(min=1, help="processor threads of the network")] = 2,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open the page")] = True,
) -> None:
    """Annotate photographs in the browser; everything is kept as it is done."""
    from saywhere.annotate.web.server import Options, serve

    options = Options(folder, host, port, database, model, tuple(label or ()), study, threads, browser)
    serve(options, lambda line: errors.print(line, highlight=False, markup=False, soft_wrap=True))
