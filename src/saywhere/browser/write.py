"""The page as a folder of static files."""

from __future__ import annotations

from pathlib import Path

from saywhere.browser.onnxruntime_web import runtime_files
from saywhere.errors import needing
from saywhere.storage.atomic import write_atomically

STATIC = Path(__file__).with_name("static")
RUNTIME_FOLDER = "onnxruntime"
RUNTIME_LICENCE = "onnxruntime-licence.txt"


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
        from saywhere.runtime.export_onnx import Precision, find_runtime, write_onnx

    find_runtime(weights)
    contents = runtime_files(runtime, webgpu)
    kinds: dict[str, Precision] = {"int8": "int8", "fp16": "fp16", "fp32": "fp32"}
    written = write_onnx(weights, out, kinds[precision])
    for path in sorted(STATIC.iterdir()):
        name = Path(RUNTIME_FOLDER, "LICENSE") if path.name == RUNTIME_LICENCE else Path(path.name)
        write_atomically(out / name, path.read_bytes())
        written.append(out / name)
    for file, content in contents.items():
        write_atomically(out / RUNTIME_FOLDER / file, content)
        written.append(out / RUNTIME_FOLDER / file)
    return written
