"""COCO JSON: objects as polygons, run lengths or compressed run lengths. LVIS and Fashionpedia speak it too."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.data.datasets.sample import Sample, nothing_ignored
from saywhere.errors import SaywhereError

NEEDED = ("images", "annotations", "categories")


def decode(segmentation: Any, size: tuple[int, int]) -> BoolArray:
    """A COCO segmentation of an image of ``size`` (height, width) to a ``(height, width)`` mask.

    Takes a list of polygons, run lengths as a list, or compressed run lengths.
    """
    return RunLengths.from_coco(segmentation, ImageSize(*size)).mask()


def load_coco(path: Path) -> dict[str, Any]:
    """The content of a COCO JSON file; SaywhereError, naming the file, when it is not COCO JSON."""
    try:
        data = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SaywhereError(f"data '{path}': cannot be read as COCO JSON ({error})") from error
    if not isinstance(data, dict) or any(key not in data for key in NEEDED):
        raise SaywhereError(f"data '{path}': not COCO JSON; the keys {', '.join(NEEDED)} are needed")
    return data


def read_coco(path: Path, photos: Path | None = None) -> list[Sample]:
    """The objects of a COCO JSON file; crowd regions are left out.

    The photographs lie under ``photos``, or beside the file. An annotation's ``ignore_region`` (a segmentation)
    marks pixels that are not counted. Raises SaywhereError, naming the file, when it is not COCO JSON.
    """
    data = load_coco(path)
    folder = photos or path.parent
    try:
        images = {image["id"]: image for image in data["images"]}
        labels = {category["id"]: category["name"] for category in data["categories"]}
        return [
            coco_sample(annotation, images[annotation["image_id"]], labels, folder, path)
            for annotation in data["annotations"]
            if not annotation.get("iscrowd")
        ]
    except (KeyError, TypeError) as error:
        raise SaywhereError(f"data '{path}': an entry lacks or misnames {error}; see the COCO format") from error


def read_coco_folder(path: Path, photos: tuple[str, ...]) -> list[Sample]:
    """The objects of ``annotations/NAME.json``; the photographs lie beside ``annotations``, in the first of ``photos``.

    SaywhereError when none of these folders is there.
    """
    folders = [path.parents[1] / folder for folder in photos]
    found = next((folder for folder in folders if folder.is_dir()), None)
    if not found:
        expected = " or ".join(str(folder) for folder in folders)
        raise SaywhereError(f"data '{path}': expected its photographs in {expected}, as COCO lays them out")
    return read_coco(path, found)


def coco_sample(
    annotation: dict[str, Any], image: dict[str, Any], labels: dict[int, str], folder: Path, source: Path
) -> Sample:
    """One annotation as a sample; KeyError when it lacks what COCO's format asks for."""
    size = image["height"], image["width"]
    region = annotation.get("ignore_region")
    photo = folder / file_name(image)
    return Sample(
        name=str(annotation["id"]),
        photo=photo,
        target=partial(decode, annotation["segmentation"], size),
        ignore=partial(decode, region, size) if region else nothing_ignored,
        label=labels[annotation["category_id"]],
        group=photo.parent.name,
        source=source,
    )


def file_name(image: dict[str, Any]) -> str:
    """An image's file; LVIS gives only COCO's address of it, whose last two parts are its split and its name."""
    if "file_name" in image or "coco_url" not in image:
        return image["file_name"]
    return "/".join(image["coco_url"].split("/")[-2:])
