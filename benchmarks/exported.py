"""The self-contained ONNX files of each precision: size, milliseconds with two threads, NoC@90 and mIoU@1 on GrabCut.

    python benchmarks/exported.py
    python benchmarks/exported.py --data duts:val --limit 60

The files answer a Segmenter in the library's place, so crops and post-processing are the same for all rows.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.prompt import Prompt, click_arrays
from saywhere.evaluation.benchmark import Task, bench
from saywhere.runtime.base import Capabilities, Runtime
from saywhere.runtime.export_onnx import write_onnx

THREADS = 2
PRECISIONS = ("fp32", "fp16", "int8")
Features = tuple[tuple[int, int], dict[str, FloatArray]]  # height and width of the image, and the encoder's outputs


class ExportedRuntime(Runtime):
    """Runs the files of one folder."""

    def __init__(self, folder: Path) -> None:
        facts = json.loads((folder / "model.json").read_text())
        self.name, self.digest = facts["precision"], f"{facts['sha256_of_weights']}-{facts['precision']}"
        self.metadata: dict[str, Any] = {}
        self.capabilities = Capabilities(boxes=facts["boxes"], candidates=facts["candidates"], backend="onnxruntime")
        self.multiple = facts["multiple"]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = THREADS
        self.encoder, self.decoder = (
            onnxruntime.InferenceSession(str(folder / name), options, providers=["CPUExecutionProvider"])
            for name in ("encoder.onnx", "decoder.onnx")
        )

    def encode(self, image: ImageArray) -> Features:
        height, width = image.shape[:2]
        step = self.multiple
        padded = cv2.copyMakeBorder(image, 0, -height % step, 0, -width % step, cv2.BORDER_REPLICATE)
        names = [output.name for output in self.encoder.get_outputs()]
        return (height, width), dict(zip(names, self.encoder.run(None, {"image": padded[None]}), strict=True))

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="grabcut")
    parser.add_argument("--limit", type=int, help="measure only this many objects, evenly spread")
    parser.add_argument("--weights", default="small", help="a preset, or a weights file of our network")
    options = parser.parse_args()
    print("| weights | files | encode | click | NoC@90 | mIoU@1 |\n|---|---|---|---|---|---|")
    for precision in PRECISIONS:
        files = write_onnx(options.weights, FOLDER / precision, precision)
        size = sum(file.stat().st_size for file in files if file.suffix == ".onnx") / 1e6
        task = Task(f"exported:{precision}", options.data, limit=options.limit, threads=THREADS)
        out = FOLDER / f"{precision}.json"
        for old in (out, out.with_suffix(".jsonl")):
            old.unlink(missing_ok=True)
        figures = bench(task, out)
        print(row(precision, size, figures))


def row(precision: str, megabytes: float, figures: dict[str, Any]) -> str:
    """A line of the table."""
    cells = (
        precision, f"{megabytes:.1f} MB", f"{figures['encode_ms_p50']:.0f} ms", f"{figures['decode_ms_p50']:.0f} ms",
        f"{figures['noc90']:.2f}", f"{figures['miou1']:.3f}",
    )  # fmt: skip
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    main()
