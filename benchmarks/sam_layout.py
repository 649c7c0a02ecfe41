"""Size and times of the files of `saywhere export sam2`, at 1024 x 1024 pixels.

    python benchmarks/sam_layout.py
    python benchmarks/sam_layout.py --weights large

They are run as darktable runs them: graph optimisation off in the decoder; two threads. Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime

from saywhere.runtime.export_sam import HIGH_RESOLUTION_FROM, SIDE, write_sam
from saywhere.runtime.weights import find_weights

THREADS = 2
REPEATS, WARM_UP = 30, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", default="small", help="a preset, or a weights file of our network")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        encoder_file, decoder_file, *_ = write_sam(find_weights(options.weights), "sam2", Path(folder))
        size = (encoder_file.stat().st_size + decoder_file.stat().st_size) / 1e6
        encoder = session(encoder_file, onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL)
        decoder = session(decoder_file, onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL)
    image = {"image": np.random.default_rng(0).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)}
    names = [output.name for output in encoder.get_outputs()]
    features = dict(zip(names, encoder.run(None, image), strict=True))
    print("| sam2, 1024 x 1024 | median | p95 |\n|---|---|---|")
    print(f"| encoder | {timed(lambda: encoder.run(None, image))} |")
    for name, clicks in (
        (f"fewer than {HIGH_RESOLUTION_FROM}", 1),
        (f"{HIGH_RESOLUTION_FROM} or more", HIGH_RESOLUTION_FROM),
    ):
        given = {**features, **prompt(clicks)}
        print(f"| decoder, {name} clicks | {timed(lambda given=given: decoder.run(None, given))} |")
    print(f"| files | {size:.1f} MB | |")


def prompt(clicks: int) -> dict[str, np.ndarray]:
    """Clicks in the middle, and the point that darktable adds."""
    points = [[500.0 + 20.0 * i, 500.0] for i in range(clicks)]
    return {
        "point_coords": np.array([[*points, [0.0, 0.0]]], np.float32),
        "point_labels": np.array([[1.0] * clicks + [-1.0]], np.float32),
        "mask_input": np.zeros((1, 1, 256, 256), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
    }


def session(path: Path, level: onnxruntime.GraphOptimizationLevel) -> onnxruntime.InferenceSession:
    """A file with two threads."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.graph_optimization_level = THREADS, level
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def timed(run: Callable[[], object]) -> str:
    """Median and 95th percentile of what takes time, as cells."""
    taken = []
    for _ in range(WARM_UP + REPEATS):
        started = time.perf_counter()
        run()
        taken.append(1000 * (time.perf_counter() - started))
    median, late = np.percentile(taken[WARM_UP:], [50, 95])
    return f"{median:.0f} ms | {late:.0f} ms"


if __name__ == "__main__":
    main()
