"""The reader of COCO JSON. Datasets, conversion and pre-labelling all read these files through it.

LVIS, Fashionpedia and the REFER toolbox use the same layout. Format: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.data.checks import check_label, check_size
from saywhere.errors import SaywhereError

Entry = dict[str, Any]
Id = int | float | str
SHOWN = 3  # faults in one message


@dataclass(frozen=True)
class CocoFile:
    """A COCO JSON file whose structure was checked: ids are unique, every annotation is of an image.

    Attributes:
        path: the file.
        images: by their ids, in the order of the file.
        annotations: in the order of the file.
        categories: by their ids, in the order of the file.
        licenses: as the file has them.
        faults: a line for each entry that cannot be used. These entries are in none of the above.
    """

    path: Path
    images: Mapping[Id, Entry]
    annotations: Sequence[Entry]
    categories: Mapping[Id, Entry]
    licenses: Sequence[Entry]
    faults: Sequence[str]

    def raise_faults(self) -> None:
        """Raise SaywhereError when there is any fault."""
        if self.faults:
            more = f"; and {len(self.faults) - SHOWN:,} faults more" if len(self.faults) > SHOWN else ""
            raise SaywhereError(f"file '{self.path}': {'; '.join(self.faults[:SHOWN])}{more}")

    def class_names(self) -> dict[Id, str | None]:
        """The names of the categories by their ids; None for empty ones.

        Raises:
            SaywhereError: a category has no name, or one that is no text.
        """
        names = {}
        for number, category in self.categories.items():
            try:
                if "name" not in category:
                    raise SaywhereError("a name is needed")
                names[number] = check_label(category["name"])
            except SaywhereError as error:
                raise SaywhereError(f"file '{self.path}': category {number}: {error}") from error
        return names


def read_coco_file(path: Path, categories_needed: bool = True) -> CocoFile:
    """Read a COCO JSON file and check its structure. Segmentations are checked when they are decoded.

    Args:
        path: the file. All of its text is held in memory.
        categories_needed: whether the list ``categories`` must be there.

    Raises:
        SaywhereError: the file cannot be read, is not COCO JSON, or has ids that are neither numbers nor text.
    """
    try:
        content = json.loads(path.read_bytes())
    # RecursionError: lists within lists within lists.
    except (OSError, ValueError, RecursionError) as error:
        raise SaywhereError(f"file '{path}': cannot be read as COCO JSON ({error})") from error
    needed = ("images", "annotations", *(["categories"] if categories_needed else []))
    if not isinstance(content, dict) or any(not isinstance(content.get(key), list) for key in needed):
        raise SaywhereError(f"file '{path}': not COCO JSON; the lists {', '.join(needed)} are needed")
    faults: list[str] = []
    try:
        images = _by_id(content, "images", "image", faults)
        categories = _by_id(content, "categories", "category", faults)
        annotations = []
        for number, annotation in enumerate(content["annotations"], 1):
            if not isinstance(annotation, dict):
                faults.append(f"annotation number {number}: expected an object; see the COCO format")
            elif (image_id := annotation.get("image_id")) is None or _check_id(image_id, "image_id") not in images:
                faults.append(f"{annotation_name(annotation, number)}: image_id {image_id}: no such image")
            else:
                annotations.append(annotation)
    except SaywhereError as error:
        raise SaywhereError(f"file '{path}': {error}") from error
    return CocoFile(path, images, annotations, categories, _objects(content.get("licenses")), faults)


def annotation_name(annotation: Entry, number: int | None = None) -> str:
    """What messages call an annotation: by its id, or without one by its number in the file, from 1."""
    return f"annotation {annotation['id']}" if annotation.get("id") is not None else f"annotation number {number}"


def class_name_of(annotation: Entry, names: Mapping[Id, str | None]) -> str | None:
    """The class name of an annotation.

    Raises:
        SaywhereError: there is no such category.
    """
    category = annotation.get("category_id")
    if not isinstance(category, (int, float, str)) or category not in names:
        raise SaywhereError(f"category_id {category!r}: no such category")
    return names[category]


def file_name_of(image: Entry) -> str:
    """The file name of an image, with ``/`` between its parts also where Windows wrote it.

    LVIS gives only COCO's address of an image, whose last two parts are its folder and its name.

    Raises:
        SaywhereError: there is none.
    """
    name = image.get("file_name")
    address = image.get("coco_url")
    if "file_name" not in image and isinstance(address, str):
        name = "/".join(address.split("/")[-2:])
    if not isinstance(name, str) or not name:
        raise SaywhereError(f"file name {name!r}: give a text")
    return name.replace("\\", "/")


def size_of(image: Entry) -> ImageSize:
    """The size that an image's entry claims.

    Raises:
        SaywhereError: it lacks one, or it is not that of an image.
    """
    return check_size(image.get("width"), image.get("height"))


def segmentation_of(annotation: Entry) -> Any:
    """The segmentation of an annotation, not checked yet; see :meth:`RunLengths.from_coco`.

    Raises:
        SaywhereError: there is none.
    """
    segmentation = annotation.get("segmentation")
    if segmentation is None:
        raise SaywhereError("segmentation: neither polygons nor run lengths are given; see the COCO format")
    return segmentation


def region_of(annotation: Entry, size: ImageSize) -> RunLengths:
    """The pixels of an annotation.

    Args:
        annotation: an entry of ``annotations``.
        size: the size of its image.

    Raises:
        SaywhereError: it has no segmentation, or one that cannot be used.
    """
    return RunLengths.from_coco(segmentation_of(annotation), size)


def _by_id(content: Entry, key: str, what: str, faults: list[str]) -> dict[Id, Entry]:
    """The entries under a key by their ids; those without an id of their own become faults."""
    by_id: dict[Id, Entry] = {}
    entries = content.get(key)
    for number, entry in enumerate(entries if isinstance(entries, list) else [], 1):
        if not isinstance(entry, dict):
            faults.append(f"{what} number {number}: expected an object; see the COCO format")
        elif (name := entry.get("id")) is None:
            faults.append(f"{what} number {number}: an id of its own is needed")
        elif _check_id(name, f"id of {what} number {number}") not in by_id:
            by_id[name] = entry
        # Some programs list a category twice, which does no harm.
        elif key == "images" or entry != by_id[name]:
            faults.append(f"{what} {name}: another has the same id; give each one of its own")
    return by_id


def _check_id(given: Any, what: str) -> Id:
    if isinstance(given, bool) or not isinstance(given, (int, float, str)):
        raise SaywhereError(f"{what}: {given!r} is of the wrong kind; give a whole number")
    return given


def _objects(entries: Any) -> list[Entry]:
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
