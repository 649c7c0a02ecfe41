"""``saywhere page``: a page that annotates without a server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from saywhere.cli.common import console
from saywhere.cli.export import Weights
from saywhere.errors import SaywhereError


def page(
    out: Annotated[Path, typer.Argument(help="a folder")],
    weights: Weights = "small",
    runtime: Annotated[
        Path | None,
        typer.Option(metavar="PATH", help="onnxruntime-web: its archive or folder; fetched by npm if not given"),
    ] = None,
    webgpu: Annotated[bool, typer.Option("--webgpu", help="offer WebGPU too, which needs 27 MB more")] = False,
    fp16: Annotated[bool, typer.Option("--fp16", help="weights in half precision instead of 8 bits")] = False,
    fp32: Annotated[bool, typer.Option("--fp32", help="weights in single precision instead of 8 bits")] = False,
) -> None:
    """Write a folder of static files that annotates in the browser alone: no server computes, no image is sent."""
    from saywhere.browser.write import write_page

    if fp16 and fp32:
        raise SaywhereError("--fp16 and --fp32: give one of them")
    files = write_page(out, weights, "fp16" if fp16 else "fp32" if fp32 else "int8", runtime, webgpu)
    size = sum(file.stat().st_size for file in files) / 1e6
    console.print(f"{len(files)} files, {size:.0f} MB → {out}", highlight=False, soft_wrap=True)
    line = f"try it: python -m http.server --directory {out}, then open http://localhost:8000"
    console.print(line, highlight=False, markup=False, soft_wrap=True)
