"""How many images ``saywhere prelabel`` does in a second, with one worker and with two, from a box for each image.

    python benchmarks/prelabel_speed.py
    python benchmarks/prelabel_speed.py --data grabcut --limit 50 --jobs 1 2 4

Each worker computes with one thread. The time is that of the whole command, with its start, which is printed beside it
(a run of one image, left out of the rate). Run it on a quiet machine.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from saywhere.evaluation.benchmark import load_samples


def write_boxes(folder: Path, data: str, limit: int) -> Path:
    """The images of a dataset in a folder, with a COCO file that has the box of an object for each."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, sample in enumerate(load_samples(data, limit), 1):
        mask = sample.target()
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        x, y = int(columns[0]), int(rows[0])
        name = f"{number:05}{sample.image_path.suffix}"
        shutil.copy(sample.image_path, folder / name)
        images.append({"id": number, "file_name": name, "width": mask.shape[1], "height": mask.shape[0]})
        box = [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y]
        annotations.append({"id": number, "image_id": number, "category_id": 1, "bbox": box, "iscrowd": 0})
    path = folder / "boxes.json"
    content = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
    path.write_text(json.dumps(content))
    return path


def seconds(boxes: Path, jobs: int) -> float:
    """How long the command takes."""
    out = boxes.with_name(f"masks-{jobs}.json")
    for old in (out, out.with_suffix(".json.jsonl"), out.with_suffix(".jsonl")):
        old.unlink(missing_ok=True)
    command = [sys.executable, "-m", "saywhere.cli", "prelabel", str(boxes), "--out", str(out)]
    started = time.perf_counter()
    subprocess.run([*command, "--jobs", str(jobs), "--threads", "1"], check=True, capture_output=True)
    taken = time.perf_counter() - started
    asked = len(json.loads(boxes.read_text())["annotations"])
    written = len(json.loads(out.read_text())["annotations"])
    if written != asked:
        raise SystemExit(f"{written} masks for {asked} boxes")
    return taken


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="duts:val")
    parser.add_argument("--limit", type=int, default=200, help="images")
    parser.add_argument("--jobs", type=int, nargs="+", default=[1, 2], help="numbers of workers")
    options = parser.parse_args()
    print("| workers | images | seconds | of these to start | images/s |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        boxes = write_boxes(Path(place), options.data, options.limit)
        (Path(place) / "one").mkdir()
        one = write_boxes(Path(place) / "one", options.data, 1)
        count = len(json.loads(boxes.read_text())["annotations"])
        for jobs in options.jobs:
            start, taken = seconds(one, jobs), seconds(boxes, jobs)
            rate = (count - 1) / max(taken - start, 1e-9)
            print(f"| {jobs} | {count} | {taken:.1f} | {start:.1f} | {rate:.1f} |")


if __name__ == "__main__":
    main()
