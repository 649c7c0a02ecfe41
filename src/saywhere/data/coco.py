"""The reader of COCO JSON. Datasets, conversion and pre-labelling all read these files through it.

LVIS, Fashionpedia and the REFER toolbox use the same layout. Format: https://cocodataset.org/#format-data
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saywhere.data.checks import check_label
from saywhere.data.coco_entries import Entry as Entry
from saywhere.data.coco_entries import Id as Id
from saywhere.data.coco_entries import annotation_name as annotation_name
from saywhere.data.coco_entries import class_name_of as class_name_of
from saywhere.data.coco_entries import file_name_of as file_name_of
from saywhere.data.coco_entries import is_crowd as is_crowd
from saywhere.data.coco_entries import measures_of as measures_of
from saywhere.data.coco_entries import only_box as only_box
from saywhere.data.coco_entries import region_of as region_of
from saywhere.data.coco_entries import segmentation_of as segmentation_of
from saywhere.data.coco_entries import size_of as size_of
from saywhere.data.coco_index import CocoIndex, LazyAnnotations, LazyImages, open_index
from saywhere.data.coco_structure import CATEGORY, IMAGE, of_images, with_ids
from saywhere.errors import SaywhereError

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
        index: of a large file, whose images and annotations are read each time they are asked for; else None.
    """

    path: Path
    images: Mapping[Id, Entry]
    annotations: Sequence[Entry]
    categories: Mapping[Id, Entry]
    licenses: Sequence[Entry]
    others: Entry
    faults: Sequence[str]
    index: CocoIndex | None = None

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

    Of a large file (:data:`saywhere.data.coco_index.LARGE`) an index is made once and kept; entries stay in the file.

    Args:
        path: the file.
        categories_needed: whether the list ``categories`` must be there.

    Raises:
        SaywhereError: the file cannot be read, is not COCO JSON, or has ids that are neither numbers nor text.
    """
    try:
        if (index := open_index(path)) is not None:
            return _large_file(path, index, categories_needed)
        return _small_file(path, _content(path), categories_needed)
    except SaywhereError as error:
        raise SaywhereError(f"file '{path}': {error}") from error


def _content(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    # RecursionError: lists within lists within lists.
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise SaywhereError(f"cannot be read as COCO JSON ({error})") from error


def _small_file(path: Path, content: Any, categories_needed: bool) -> CocoFile:
    needed = _needed(categories_needed)
    if not isinstance(content, dict) or any(not isinstance(content.get(key), list) for key in needed):
        raise _not_coco(categories_needed)
    faults: list[str] = []
    images = {name: entry for _, name, entry in with_ids(content["images"], IMAGE, faults)}
    categories = _categories(content, faults)
    annotations = [annotation for _, annotation in of_images(content["annotations"], images, faults)]
    return CocoFile(path, images, annotations, categories, *_others(content), faults)


def _large_file(path: Path, index: CocoIndex, categories_needed: bool) -> CocoFile:
    others = index.about["others"]
    if categories_needed and not isinstance(others.get("categories"), list):
        raise _not_coco(categories_needed)
    categories = _categories(others, [])  # whose faults are in the index
    rest = _others(others)
    return CocoFile(path, LazyImages(index), LazyAnnotations(index), categories, *rest, index.about["faults"], index)


def _needed(categories_needed: bool) -> list[str]:
    return ["images", "annotations", *(["categories"] if categories_needed else [])]


def _not_coco(categories_needed: bool) -> SaywhereError:
    return SaywhereError(f"not COCO JSON; the lists {', '.join(_needed(categories_needed))} are needed")


def _categories(content: Entry, faults: list[str]) -> dict[Id, Entry]:
    given = content.get("categories")
    return {name: entry for _, name, entry in with_ids(given if isinstance(given, list) else [], CATEGORY, faults)}


def _others(content: Entry) -> tuple[list[Entry], Entry]:
    """The licences, and all that is neither a licence nor an image, annotation or category."""
    others = {key: value for key, value in content.items() if key not in ("images", "annotations", "categories")}
    licenses = others.pop("licenses", None)
    return [each for each in licenses if isinstance(each, dict)] if isinstance(licenses, list) else [], others
