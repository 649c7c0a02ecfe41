"""Seconds and memory of opening a COCO JSON file of the size of COCO's train2017.

    python benchmarks/large_coco.py /tmp/large.json          # generates the file, then opens it twice
    python benchmarks/large_coco.py /tmp/large.json --targets # and lists its objects for training, twice

Polygons have 25 vertices, with which the file gets about as large as that one. The images themselves are not made. Each
opening is a process of its own, with an index that is not there yet and then is. Memory is the process's peak resident
set: all of it, and without the pages of mapped files, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

IMAGES, ANNOTATIONS, CATEGORIES, VERTICES = 118_000, 860_000, 80, 25
SHAPES = 4096  # different polygons


def shapes(rng: np.random.Generator) -> list[str]:
    """The segmentation, area and box of some polygons, as JSON."""
    angles = np.linspace(0.0, 2.0 * np.pi, VERTICES, endpoint=False)
    texts = []
    for _ in range(SHAPES):
        x, y, radius = rng.uniform(60, 580), rng.uniform(60, 420), rng.uniform(8, 60)
        radii = radius * rng.uniform(0.7, 1.0, VERTICES)
        ring = np.stack([x + radii * np.cos(angles), y + radii * np.sin(angles)], 1).round(2)
        (left, top), (right, bottom) = ring.min(0).tolist(), ring.max(0).tolist()
        box = [left, top, round(right - left, 2), round(bottom - top, 2)]
        entry = {"segmentation": [ring.ravel().tolist()], "area": round(3.0 * radius**2, 2), "iscrowd": 0, "bbox": box}
        texts.append(json.dumps(entry)[:-1])
    return texts


def generate(path: Path, images: int, annotations: int) -> None:
    """Write a COCO JSON file, annotation by annotation."""
    rng = np.random.default_rng(0)
    texts, drawn = shapes(rng), rng.integers(SHAPES, size=annotations).tolist()
    with path.open("w") as file:
        file.write('{"info": {"description": "generated"}, "licenses": [], "images": [')
        for i in range(images):
            entry = {"license": 3, "file_name": f"{i:012d}.jpg", "coco_url": f"http://example.org/train2017/{i:012d}.jpg",
                     "height": 480, "width": 640, "date_captured": "2013-11-14 11:18:45", "id": i}  # fmt: skip
            file.write(("," if i else "") + json.dumps(entry))
        file.write('], "annotations": [')
        for i, shape in enumerate(drawn):
            rest = f'"image_id": {i * images // annotations}, "category_id": {1 + i % CATEGORIES}, "id": {i + 1}'
            file.write(f"{',' if i else ''}{texts[shape]}, {rest}}}")
        categories = [{"supercategory": "thing", "id": i, "name": f"class {i}"} for i in range(1, CATEGORIES + 1)]
        file.write(f'], "categories": {json.dumps(categories)}}}')


def open_once(path: Path, targets: bool) -> None:
    """Open the file, read one object of every thousand, and print seconds and peak memory as JSON."""
    peak = {"all": 0, "own": 0}
    ended = threading.Event()

    def watch() -> None:
        while not ended.is_set():
            lines = dict(
                line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
            )
            peak["own"] = max(peak["own"], int(lines["RssAnon"].split()[0]))
            peak["all"] = max(peak["all"], int(lines["VmHWM"].split()[0]))
            ended.wait(0.02)

    if targets:
        from saywhere.training import targets as training
        from saywhere.training.recipe import Recipe

        training.check_images = lambda *arguments: None  # there are none
        recipe = Recipe.model_validate({"model": {"name": "saywhere"}, "data": [{"path": str(path)}]})
    else:
        from saywhere.data.datasets import load_dataset

    thread = threading.Thread(target=watch)
    thread.start()
    began, processor = time.perf_counter(), time.process_time()
    objects = training.list_targets(recipe) if targets else load_dataset(str(path))
    seconds, processor = time.perf_counter() - began, time.process_time() - processor
    area = sum((each.region if targets else each.region()).area for each in objects[::1000])
    ended.set()
    thread.join()
    print(json.dumps({"objects": len(objects), "seconds": round(seconds, 2), "processor seconds": round(processor, 2),
                      "peak MB": peak["all"] // 1024, "peak MB without mapped files": peak["own"] // 1024,
                      "area": area}))  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--images", type=int, default=IMAGES)
    parser.add_argument("--annotations", type=int, default=ANNOTATIONS)
    parser.add_argument("--targets", action="store_true", help="list the objects for training")
    parser.add_argument("--open", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.open:
        open_once(arguments.file, arguments.targets)
        return
    if not arguments.file.exists():
        generate(arguments.file, arguments.images, arguments.annotations)
    size = arguments.file.stat().st_size / 1e6
    print(f"{size:.0f} MB, {arguments.images:,} images, {arguments.annotations:,} annotations")
    with tempfile.TemporaryDirectory() as cache:
        for name in ("first time", "again"):
            command = [sys.executable, __file__, str(arguments.file), "--open"]
            command += ["--targets"] if arguments.targets else []
            run = subprocess.run(
                command, check=True, capture_output=True, text=True, env={**os.environ, "XDG_CACHE_HOME": cache}
            )
            print(f"{name}: {run.stdout.strip()}")


if __name__ == "__main__":
    main()
