"""COCO JSON: objects as polygons, run lengths or compressed run lengths."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from saywhere.datasets.sample import BoolMask, Sample, nothing_ignored
from saywhere.errors import SaywhereError

NEEDED = ("images", "annotations", "categories")


def decode(segmentation: Any, size: tuple[int, int]) -> BoolMask:
    """A COCO segmentation of an image of ``size`` (height, width) to a ``(height, width)`` mask.

    Takes a list of polygons, run lengths as a list, or compressed run lengths.
    """
    h, w = size
    if isinstance(segmentation, list):
        rle = coco_mask.merge(coco_mask.frPyObjects(segmentation, h, w))
    elif isinstance(segmentation["counts"], list):
        rle = coco_mask.frPyObjects(segmentation, h, w)
    else:
        rle = segmentation
    return np.asarray(coco_mask.decode(rle), dtype=np.bool_)


def read_coco(path: Path) -> list[Sample]:
    """The objects of a COCO JSON file whose photographs lie beside it; crowd regions are left out.

    An annotation's ``ignore_region`` (a segmentation) marks pixels that are not counted.
    Raises SaywhereError, naming the file, when it is not COCO JSON.
    """
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SaywhereError(f"data '{path}': cannot be read as COCO JSON ({error})") from error
    if not isinstance(data, dict) or any(key not in data for key in NEEDED):
        raise SaywhereError(f"data '{path}': not COCO JSON; the keys {', '.join(NEEDED)} are needed")
    try:
        images = {image["id"]: image for image in data["images"]}
        labels = {category["id"]: category["name"] for category in data["categories"]}
        return [
            _sample(path.parent, images[annotation["image_id"]], annotation, labels)
            for annotation in data["annotations"]
            if not annotation.get("iscrowd")
        ]
    except (KeyError, TypeError) as error:
        raise SaywhereError(f"data '{path}': an entry lacks or misnames {error}; see the COCO format") from error


def _sample(folder: Path, image: dict[str, Any], annotation: dict[str, Any], labels: dict[int, str]) -> Sample:
    size = image["height"], image["width"]
    region = annotation.get("ignore_region")
    return Sample(
        name=str(annotation["id"]),
        photo=folder / image["file_name"],
        target=partial(decode, annotation["segmentation"], size),
        ignore=partial(decode, region, size) if region else nothing_ignored,
        label=labels[annotation["category_id"]],
        group=Path(image["file_name"]).parent.name,
    )
