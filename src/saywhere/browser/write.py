"""The page as a folder of static files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from saywhere.browser.network import network_files
from saywhere.core.atomic import write_atomically
from saywhere.errors import needing

STATIC = Path(__file__).with_name("static")
SHARED = Path(__file__).with_name("shared")
"""Modules that the annotator's page has, too."""


def write_page(
    out: Path,
    weights: str | Path | None = "small",
    precision: str = "int8",
    runtime: Path | None = None,
    webgpu: bool = False,
) -> list[Path]:
    """Write a page that annotates images without a server, in any browser with WebAssembly.

    Args:
        out: the folder; it is made where there is none, and other files in it stay.
        weights: see :func:`saywhere.runtime.weights.find_weights`.
        precision: "int8", "fp16" or "fp32"; see :func:`saywhere.runtime.export_onnx.write_onnx`.
        runtime: see :func:`saywhere.browser.onnxruntime_web.runtime_files`.
        webgpu: whether the page offers to compute by WebGPU, which needs 27 MB more.

    Returns:
        The files.

    Raises:
        SaywhereError: onnxruntime-web cannot be had or the weights cannot be exported; nothing is written.
    """
    with needing("torch", "page"):
        from saywhere.runtime.export_onnx import find_runtime

    contents = network_files(find_runtime(weights), precision, runtime, webgpu)
    for folder in (SHARED, STATIC):
        contents |= dict(_files(folder))
    for name, content in contents.items():
        path = out / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content)
    return [out / name for name in contents]


def _files(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path.read_bytes()
