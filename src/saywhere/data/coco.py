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
from saywhere.core.images import MAX_PIXELS
from saywhere.core.rle import MAX_COORDINATE, RunLengths
from saywhere.data.checks import check_label, check_size
from saywhere.data.files import check_file_name
from saywhere.errors import SaywhereError

Entry = dict[str, Any]
Id = int | float | str
MAX_ID = 2**64  # of ids that are numbers; finite, and short in messages
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
        others: all else that the file has, by its keys.
        faults: a line for each entry that cannot be used. These entries are in none of the above.
    """

    path: Path
    images: Mapping[Id, Entry]
    annotations: Sequence[Entry]
    categories: Mapping[Id, Entry]
    licenses: Sequence[Entry]
    others: Entry
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

    def shared_names(self) -> list[str]:
        """A note for each class name that several categories have; these become one class."""
        ids: dict[str, list[Id]] = {}
        for number, name in self.class_names().items():
            if name is not None:
                ids.setdefault(name, []).append(number)
        return [
            f"file '{self.path}': categories {', '.join(map(str, some))} are all named '{name}'; they become one class"
            for name, some in ids.items()
            if len(some) > 1
        ]


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
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise SaywhereError(f"file '{path}': cannot be read as COCO JSON ({error})") from error
    needed = ("images", "annotations", *(["categories"] if categories_needed else []))
    if not isinstance(content, dict) or any(not isinstance(content.get(key), list) for key in needed):
        raise SaywhereError(f"file '{path}': not COCO JSON; the lists {', '.join(needed)} are needed")
    faults: list[str] = []
    try:
        images = _by_id(content, "images", "image", faults)
        categories = _by_id(content, "categories", "category", faults)
        annotations: list[Entry] = []
        ids: set[str] = set()
        for number, annotation in enumerate(content["annotations"], 1):
            if not isinstance(annotation, dict):
                faults.append(f"annotation number {number}: expected an object; see the COCO format")
            elif (image_id := annotation.get("image_id")) is None or _check_id(image_id, "image_id") not in images:
                faults.append(f"{annotation_name(annotation, number)}: image_id {image_id}: no such image")
            elif _is_taken(annotation.get("id"), ids):
                faults.append(f"annotation {annotation['id']}: another has the same id; give each one of its own")
            else:
                annotations.append(annotation)
    except SaywhereError as error:
        raise SaywhereError(f"file '{path}': {error}") from error
    others = {key: value for key, value in content.items() if key not in ("images", "annotations", "categories")}
    licenses = _objects(others.pop("licenses", None))
    return CocoFile(path, images, annotations, categories, licenses, others, faults)


def _is_taken(name: Any, ids: set[str]) -> bool:
    """Whether an annotation before has this id, which is remembered. Outputs name them by their text."""
    if name is None:
        return False
    text = str(_check_id(name, "id of an annotation"))
    taken = text in ids
    ids.add(text)
    return taken


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
        SaywhereError: there is none, or none that a file can have.
    """
    name = image.get("file_name")
    address = image.get("coco_url")
    if "file_name" not in image and isinstance(address, str):
        name = "/".join(address.split("/")[-2:])
    return check_file_name(name)


def size_of(image: Entry) -> ImageSize:
    """The size that an image's entry claims.

    Raises:
        SaywhereError: it lacks one, or it is not that of an image.
    """
    return check_size(image.get("width"), image.get("height"))


def is_crowd(annotation: Entry) -> bool:
    """Whether an annotation is marked as a region of several objects."""
    return annotation.get("iscrowd") in (1, "1")


def only_box(annotation: Entry) -> tuple[float, float, float, float] | None:
    """The box of an annotation that has no mask: x, y, width, height in pixels; None when it has a mask, or no box.

    Programs write boxes without a mask as a ``segmentation`` that is left out, null or an empty list.
    """
    segmentation, box = annotation.get("segmentation"), _box_of(annotation)
    if segmentation is not None and segmentation not in ([], [[]], {}, ""):
        return None
    return box if box is not None and box[2] > 0 and box[3] > 0 else None


def measures_of(annotation: Entry) -> Entry:
    """The ``area`` and the ``bbox`` that an annotation gives for its polygons; less those that are none.

    They are measured on the polygons, not on the pixels that these are drawn as. Of run lengths the pixels say both.
    """
    segmentation = annotation.get("segmentation")
    if not isinstance(segmentation, list) or not any(segmentation):
        return {}
    area: Any = annotation.get("area")
    has_area = _is_number(area, MAX_PIXELS) and area >= 0
    has_box = _box_of(annotation) is not None
    return {**({"area": area} if has_area else {}), **({"bbox": annotation["bbox"]} if has_box else {})}


def _box_of(annotation: Entry) -> tuple[float, float, float, float] | None:
    """The ``bbox`` of an annotation: x, y, width, height in pixels; None when it is none."""
    box = annotation.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(_is_number(value) for value in box):
        return None
    x, y, w, h = map(float, box)
    return x, y, w, h


def segmentation_of(annotation: Entry) -> Any:
    """The segmentation of an annotation, not checked yet; see :meth:`RunLengths.from_coco`.

    Raises:
        SaywhereError: there is none.
    """
    segmentation = annotation.get("segmentation")
    if segmentation is None:
        raise SaywhereError("segmentation: neither polygons nor run lengths are given; see the COCO format")
    return [] if segmentation == [[]] else segmentation


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


def _is_number(value: Any, maximum: float = MAX_COORDINATE) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= maximum


def _check_id(given: Any, what: str) -> Id:
    # Not math.isfinite: it cannot take a whole number of 400 digits.
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool) and abs(given) <= MAX_ID
    if not is_number and not isinstance(given, str):
        raise SaywhereError(f"{what}: {given!r} is of the wrong kind; give a whole number")
    return given


def _objects(entries: Any) -> list[Entry]:
    return [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
