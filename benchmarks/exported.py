"""What is exported, of each precision: size, times with two threads and in a browser, NoC@90 and mIoU@1 on GrabCut.

    python benchmarks/exported.py
    python benchmarks/exported.py --weights large
    python benchmarks/exported.py --data duts:val --limit 60 --no-browser

The files answer a Segmenter in the library's place, so crops and post-processing are the same for all rows. Run it on a
quiet machine; the browser (Chromium) computes on WebAssembly.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import onnxruntime
from browser_page import measure as measure_in_browser

from saywhere.browser.write import write_page
from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.core.image_tokens import image_for_tokens, token_places
from saywhere.core.prompt import Prompt, click_arrays
from saywhere.evaluation.benchmark import Task, bench
from saywhere.runtime.base import Capabilities, Runtime
from saywhere.runtime.export_onnx import Precision, write_onnx

THREADS = 2
PRECISIONS: Final[tuple[Precision, ...]] = ("fp32", "fp16", "int8")
Features = tuple[tuple[int, int], dict[str, FloatArray]]  # height and width of the image, and the encoder's outputs


class ExportedRuntime(Runtime):
    """Runs the files of one folder."""

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "model.json").read_text())
        self.name, self.digest = facts["precision"], f"{facts['sha256_of_weights']}-{facts['precision']}"
        self.metadata: dict[str, Any] = {}
        self.multiple = facts["multiple"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.sessions = {
            name: onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
            for name in facts["files"]
        }
        self.decoder = self.sessions["decoder.onnx"]
        self.capabilities = Capabilities(
            boxes=facts["boxes"],
            candidates=facts["candidates"],
            image_tokens="tokens.onnx" in self.sessions,
            backend="onnxruntime",
        )

    def encode(self, image: ImageArray) -> Features:
        return self._encode(image, {})

    def tokens(self, image: ImageArray) -> FloatArray:
        return self.sessions["tokens.onnx"].run(None, {"image": image_for_tokens(image)[None]})[0][0]

    def encode_crop(self, image: ImageArray, crop: Crop, tokens: FloatArray) -> Features:
        rows, columns = token_places(tokens, ImageSize(*image.shape[:2]), crop)
        further = {"tokens": tokens[None], "token_rows": rows[None], "token_columns": columns[None]}
        return self._encode(crop.crop(image), further)

    def _encode(self, image: ImageArray, further: dict[str, FloatArray]) -> Features:
        height, width = image.shape[:2]
        step = self.multiple
        padded = cv2.copyMakeBorder(image, 0, -height % step, 0, -width % step, cv2.BORDER_REPLICATE)
        encoder = self.sessions["encoder.onnx"]
        names = [output.name for output in encoder.get_outputs()]
        return (height, width), dict(zip(names, encoder.run(None, {"image": padded[None], **further}), strict=True))

    def decode(self, features: Features, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        logits, scores = self.decode_candidates(features, prompt, previous)
        return logits[scores.argmax()]

    def decode_candidates(
        self, features: Features, prompt: Prompt, previous: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        (height, width), levels = features
        step = self.multiple
        past = np.zeros((1, 1, height + -height % step, width + -width % step), np.float32)
        if previous is not None:
            past[0, 0, :height, :width] = previous
        inputs = {**levels, **click_arrays([prompt])._asdict(), "previous": past}
        logits, scores = self.decoder.run(["logits", "predicted_ious"], inputs)
        return logits[0, :, :height, :width], scores[0]


def fp32() -> Runtime:
    return ExportedRuntime(FOLDER / "fp32")


def fp16() -> Runtime:
    return ExportedRuntime(FOLDER / "fp16")


def int8() -> Runtime:
    return ExportedRuntime(FOLDER / "int8")


FOLDER = Path(tempfile.gettempdir()) / "saywhere-exported"
COLUMNS = ("weights", "files", "encode", "click", "encode, browser", "click, browser", "NoC@90", "mIoU@1")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="grabcut")
    parser.add_argument("--limit", type=int, help="measure only this many objects, evenly spread")
    parser.add_argument("--weights", default="small", help="a preset, or a weights file of our network")
    parser.add_argument("--no-browser", action="store_true", help="leave out the columns of the browser")
    options = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|")
    for precision in PRECISIONS:
        files = write_onnx(options.weights, FOLDER / precision, precision)
        size = sum(file.stat().st_size for file in files if file.suffix == ".onnx") / 1e6
        task = Task(f"exported:{precision}", options.data, limit=options.limit, threads=THREADS)
        out = FOLDER / f"{precision}.json"
        for old in (out, out.with_suffix(".jsonl")):
            old.unlink(missing_ok=True)
        figures = bench(task, out)
        print(row(precision, size, figures, {} if options.no_browser else in_browser(options.weights, precision)))


def in_browser(weights: str, precision: str) -> dict[str, float]:
    """Median milliseconds of an encoding and of a click in Chromium."""
    with tempfile.TemporaryDirectory() as folder:
        write_page(Path(folder), weights, precision)
        rows = measure_in_browser(Path(folder), "wasm")["rows"]
    return {name: float(np.median([ms for each, ms in rows if each == name])) for name in ("encode", "click")}


def row(precision: str, megabytes: float, figures: dict[str, Any], browser: dict[str, float]) -> str:
    """A line of the table."""
    cells = (
        precision, f"{megabytes:.1f} MB", f"{figures['encode_ms_p50']:.0f} ms", f"{figures['decode_ms_p50']:.0f} ms",
        *(f"{browser[name]:.0f} ms" if browser else "" for name in ("encode", "click")),
        f"{figures['noc90']:.2f}", f"{figures['miou1']:.3f}",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
