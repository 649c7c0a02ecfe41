"""What a round trip through each format does to masks: ``python benchmarks/formats.py COCO.json``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from saywhere.core.metrics import iou
from saywhere.data import formats

ROUND_TRIPS = [
    ("coco", False), ("coco", True), ("labelme", False), ("labelme", True), ("yolo", False), ("voc", False),
    ("png", False),
]  # fmt: skip


def read_objects(
    source: Path, format_name: str, images: Path | None = None
) -> dict[str, list[formats.ObjectAnnotation]]:
    """The objects of each image, by its name without suffix."""
    found = (read_one() for read_one in formats.read(source, format_name, images).images)
    return {str(Path(image.file_name).with_suffix("")): list(image.objects) for image in found}


def best_iou(mask: np.ndarray, others: list[formats.ObjectAnnotation]) -> float:
    """The IoU with the most similar object: formats may leave some out."""
    return max((iou(mask, other.mask) for other in others), default=0.0)


def main(source: Path) -> None:
    expected = read_objects(source, "coco")
    print(f"{'format':18} {'exact':>7} {'mean IoU':>9} {'1st percentile':>15} {'least':>7} {'seconds':>8}")
    for format_name, polygons in ROUND_TRIPS:
        with tempfile.TemporaryDirectory() as folder:
            dest = Path(folder) / ("out.json" if format_name == "coco" else "out")
            start = time.perf_counter()
            formats.convert(source, dest, format_name, options=formats.WriteOptions(polygons))
            seconds = time.perf_counter() - start
            found = read_objects(dest, format_name, source.parent if format_name == "coco" else None)
        ious = np.array([best_iou(each.mask, found[name]) for name, some in expected.items() for each in some])
        name = format_name + (" --polygons" if polygons else "")
        low = np.percentile(ious, 1)
        print(f"{name:18} {(ious == 1).mean():7.1%} {ious.mean():9.5f} {low:15.4f} {ious.min():7.4f} {seconds:8.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
