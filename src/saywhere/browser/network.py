"""The files that ``shared/inference`` loads in a browser: encoder, decoder, their description, and onnxruntime-web."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from saywhere.browser.onnxruntime_web import runtime_files
from saywhere.errors import needing
from saywhere.runtime.onnx import OnnxRuntime

if TYPE_CHECKING:
    from saywhere.runtime.export_onnx import Precision

RUNTIME_FOLDER = "onnxruntime"
RUNTIME_LICENCE = Path(__file__).with_name("onnxruntime-licence.txt")
PRECISIONS: Final[Mapping[str, Precision]] = {"int8": "int8", "fp16": "fp16", "fp32": "fp32"}


def network_files(
    runtime: OnnxRuntime, precision: str = "int8", source: Path | None = None, webgpu: bool = False
) -> dict[str, bytes]:
    """What a page needs to segment images by itself.

    Args:
        runtime: our network.
        precision: "int8", "fp16" or "fp32"; see :func:`saywhere.runtime.export_onnx.write_onnx`.
        source: see :func:`saywhere.browser.onnxruntime_web.runtime_files`.
        webgpu: also what computing by WebGPU needs.

    Returns:
        Contents by path; the page's worker is given the address of the folder that they are served from.

    Raises:
        SaywhereError: onnxruntime-web cannot be had, the network cannot be exported, or a package is missing.
    """
    with needing("torch", "network for browsers"):
        from saywhere.runtime.export_onnx import exported_files

    files = runtime_files(source, webgpu)
    contents = exported_files(runtime, PRECISIONS[precision])
    contents[f"{RUNTIME_FOLDER}/LICENSE"] = RUNTIME_LICENCE.read_bytes()
    return contents | {f"{RUNTIME_FOLDER}/{name}": content for name, content in files.items()}
