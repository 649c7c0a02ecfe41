"""``saywhere annotate``: annotate images in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saywhere.cli.common import errors
from saywhere.errors import SaywhereError

SAMPLE_FOLDER = Path("saywhere-samples")


def annotate(
    folder: Annotated[Path | None, typer.Argument(help="a folder of images")] = None,
    label: Annotated[list[str] | None, typer.Option(help="a label to begin with; the page can create more")] = None,
    samples: Annotated[
        bool, typer.Option("--samples", help=f"write four sample images to FOLDER first, {SAMPLE_FOLDER} if not given")
    ] = False,
    host: Annotated[str, typer.Option(help="an address other than this machine's own requires a token")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free")] = 8765,
    database: Annotated[
        str | None, typer.Option(metavar="URL", help="PostgreSQL, or another SQLite file than the one in FOLDER")
    ] = None,
    model: Annotated[str | None, typer.Option(help="as for bench")] = None,
    study: Annotated[
        str | None, typer.Option(help="click, phraseclick or drag: only these interactions, to compare people")
    ] = None,
    imports: Annotated[
        list[Path] | None,
        typer.Option(
            "--import",
            help="annotations to add: a file, a ZIP or a folder of COCO, YOLO, VOC, LabelMe, "
            "Label Studio or PNG masks, or what prelabel wrote",
        ),
    ] = None,
    import_done: Annotated[
        bool, typer.Option("--import-done", help="mark images with imported objects as done, not as to do")
    ] = False,
    threads: Annotated[int, typer.Option(min=1, help="processor threads of the network")] = 2,
    in_browser: Annotated[
        bool, typer.Option("--in-browser", help="pages compute masks by themselves, on WebAssembly or WebGPU")
    ] = False,
    browser: Annotated[bool, typer.Option("--browser/--no-browser", help="open the page")] = True,
) -> None:
    """Annotate images in the browser; every step is saved at once."""
    if folder is None and not samples:
        raise SaywhereError("annotate: no folder; give a folder of images, or --samples to try it on four")
    folder = folder or SAMPLE_FOLDER
    if samples:
        from saywhere.annotate.sample_images import write_samples

        write_samples(folder)
    from saywhere.annotate.web.server import Options, serve

    options = Options(folder, host, port, database, model, tuple(label or ()), study, threads, browser,
                      tuple(imports or ()), "done" if import_done else "todo", in_browser)  # fmt: skip
    serve(options, lambda line: errors.print(line, highlight=False, markup=False, soft_wrap=True))
