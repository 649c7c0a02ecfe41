"""Entries of COCO JSON: what they mean, and what they must have. See :mod:`saywhere.data.coco` for the files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from saywhere.core.geometry import ImageSize
from saywhere.core.images import MAX_PIXELS
from saywhere.core.rle import MAX_COORDINATE, RunLengths
from saywhere.data.checks import check_size
from saywhere.data.files import check_file_name
from saywhere.errors import SaywhereError

Entry = dict[str, Any]
Id = int | float | str
MAX_ID = 2**64  # of ids that are numbers; finite, and short in messages


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


def _is_number(value: Any, maximum: float = MAX_COORDINATE) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= maximum


def check_id(given: Any, what: str) -> Id:
    """An id that a file gives.

    Raises:
        SaywhereError: it is neither a finite number nor text.
    """
    # Not math.isfinite: it cannot take a whole number of 400 digits.
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool) and abs(given) <= MAX_ID
    if not is_number and not isinstance(given, str):
        raise SaywhereError(f"{what}: {given!r} is of the wrong kind; give a whole number")
    return given
