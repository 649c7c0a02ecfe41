"""What a round trip through each format does to masks: ``python examples/formats.py COCO.json``."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from saywhere.core.metrics import iou
from saywhere.data import formats

WAYS = [("coco", False), ("coco", True), ("labelme", False), ("labelme", True), ("yolo", False), ("voc", False),
        ("png", False)]  # fmt: skip


def objects(source: Path, form: str, photos: Path | None = None) -> dict[str, list[formats.Object]]:
    """The objects of each photograph, by its name without ending."""
    read = (photo_of() for photo_of in formats.read(source, form, photos).photos)
    return {str(Path(photo.file).with_suffix("")): list(photo.objects) for photo in read}


def closest(mask: np.ndarray, others: list[formats.Object]) -> float:
    """The IoU with the object that is most alike: formats may leave some out."""
    return max((iou(mask, other.mask) for other in others), default=0.0)


def main(source: Path) -> None:
    given = objects(source, "coco")
    print(f"{'format':18} {'exact':>7} {'mean IoU':>9} {'1st percentile':>15} {'least':>7} {'seconds':>8}")
    for form, polygons in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            dest = Path(folder) / ("out.json" if form == "coco" else "out")
            begun = time.perf_counter()
            formats.convert(source, dest, form, how=formats.WriteOptions(polygons))
            took = time.perf_counter() - begun
            found = objects(dest, form, source.parent if form == "coco" else None)
        ious = np.array([closest(one.mask, found[name]) for name, some in given.items() for one in some])
        name = form + (" --polygons" if polygons else "")
        low = np.percentile(ious, 1)
        print(f"{name:18} {(ious == 1).mean():7.1%} {ious.mean():9.5f} {low:15.4f} {ious.min():7.4f} {took:8.1f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
