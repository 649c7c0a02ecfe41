"""What the tests of datasets build their trees of: images, masks and COCO JSON of one size."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from conftest import polygon_of
from saywhere.data.datasets import Sample, load_dataset

SIZE = (20, 30)  # height, width of every image here


def box(left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """A mask of SIZE, True from (left, top) up to but without (right, bottom)."""
    mask = np.zeros(SIZE, bool)
    mask[top:bottom, left:right] = True
    return mask


BOX, OTHER = box(10, 5, 25, 15), box(0, 0, 6, 4)


def save_image(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", SIZE[::-1], (90, 120, 40)).save(path)
    return path


def save_mask(path: Path, values: np.ndarray, palette: bool = False) -> Path:
    """Values as a grey image, or as places in a palette whose colours say nothing of the values."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    if palette:
        image.putpalette([(37 * i + 11) % 256 for i in range(768)])
    image.save(path)
    return path


def only(name: str) -> Sample:
    (sample,) = load_dataset(name)
    return sample


def same(found: np.ndarray | None, expected: np.ndarray) -> bool:
    return found is not None and found.dtype == np.bool_ and np.array_equal(found, expected)


def coco_json(path: Path, image: dict[str, Any], *more: dict[str, Any]) -> None:
    """One image with one object, BOX, of the category "cat", and whatever more annotations are given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    annotation = {"id": 7, "image_id": image["id"], "category_id": 3, "segmentation": polygon_of(10, 5, 15, 10)}
    data = {
        "images": [{**image, "height": SIZE[0], "width": SIZE[1]}],
        "annotations": [annotation, *({**annotation, **other} for other in more)],
        "categories": [{"id": 3, "name": "cat"}, {"id": 31, "name": "sleeve"}],
    }
    path.write_text(json.dumps(data))
