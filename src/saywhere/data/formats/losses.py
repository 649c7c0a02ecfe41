"""What a format has no place for is left out of images before they are written, with a note of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, Final

from saywhere.data.formats.annotated_image import AnnotatedImage

BOXES: Final = "boxes"  # objects with a box and without a mask
CROWDS: Final = "crowds"  # the mark of regions of several objects
EXTRA: Final = "extra"  # attributes, flags, descriptions and whatever else a file says of images and objects
IDS: Final = "ids"  # of images and objects


class Losses:
    """Removes from images what a format cannot hold.

    Args:
        held: what it holds, of the constants of this module.
        keep_crowd: whether crowd regions become objects like any other.
    """

    def __init__(self, held: frozenset[str], keep_crowd: bool) -> None:
        self._held, self._keep_crowd = held, keep_crowd
        self._images = self._objects = 0
        self._ids_differ = False

    def apply(self, image: AnnotatedImage) -> tuple[AnnotatedImage, list[str]]:
        """The image without what is not held, and notes."""
        what = f"photograph '{image.file_name}'"
        objects, boxes, notes = image.objects, image.boxes, list(image.notes)
        crowds = sum(each.is_crowd for each in image.annotations)
        if crowds and self._keep_crowd:
            objects = tuple(replace(each, is_crowd=False) for each in objects)
            boxes = tuple(replace(each, is_crowd=False) for each in boxes)
            notes.append(f"{what}: {crowds} crowd regions are objects like any other now")
        elif crowds and CROWDS not in self._held:
            objects = tuple(each for each in objects if not each.is_crowd)
            boxes = tuple(each for each in boxes if not each.is_crowd)
            notes.append(f"{what}: {crowds} crowd regions left out; --keep-crowd makes objects of them")
        if boxes and BOXES not in self._held:
            notes.append(f"{what}: {len(boxes)} boxes without a mask left out")
            boxes = ()
        kept = replace(image, objects=objects, boxes=boxes, notes=())
        if EXTRA not in self._held:
            notes += _note_extra(kept)
        self._compare_ids(kept)
        return kept, notes

    def _compare_ids(self, image: AnnotatedImage) -> None:
        """Ids that count from 1 in order say nothing; note whether some are others."""
        self._images += 1
        self._ids_differ |= image.id not in (None, self._images)
        for each in image.annotations:
            self._objects += 1
            self._ids_differ |= each.id not in (None, self._objects)

    def of_all(self, extra: Mapping[str, Any], categories: Iterable[Mapping[str, Any]]) -> list[str]:
        """Notes of what is lost of all images together, once all were written.

        Args:
            extra: what the source says of itself.
            categories: its classes, as COCO has them.
        """
        notes = []
        if self._ids_differ and IDS not in self._held:
            notes.append("the ids of images and objects are not kept")
        if EXTRA not in self._held or IDS not in self._held:
            keys = {key for each in categories for key, value in each.items() if says_something(value)}
            lost = sorted(keys - {"id", "name"})
            lost_too = sorted(key for key, value in extra.items() if key != "info" and says_something(value))
            notes += [f"{', '.join(lost)} of classes left out"] if lost else []
            notes += [f"{', '.join(lost_too)} of the source left out"] if lost_too else []
        return notes


def says_something(value: Any) -> bool:
    """Whether a value of JSON is more than what programs write where nothing was entered."""
    waiting = [value]
    while waiting:
        each = waiting.pop()
        if isinstance(each, Mapping):
            waiting += each.values()
        elif isinstance(each, (list, tuple)):
            waiting += each
        elif each:
            return True
    return False


def only_json(extra: Mapping[str, Any], what: str) -> tuple[dict[str, Any], list[str]]:
    """The values that can be written as JSON; and a note where others (NaN, too deep ones) are left out."""
    kept = {}
    for key, value in extra.items():
        try:
            json.dumps(value, allow_nan=False)
        except (ValueError, RecursionError):
            continue
        kept[key] = value
    lost = [key for key in extra if key not in kept]
    return kept, [f"{what}{', '.join(lost)} left out: not valid JSON (NaN, infinite or too deep)"] if lost else []


def _note_extra(image: AnnotatedImage) -> list[str]:
    """Notes of what else the file says of an image and of its objects."""
    what, notes = f"photograph '{image.file_name}'", []
    if keys := sorted(key for key, value in image.extra.items() if says_something(value)):
        notes.append(f"{what}: its {', '.join(keys)} left out")
    some = [[key for key, value in each.extra.items() if says_something(value)] for each in image.annotations]
    if keys := sorted({key for each in some for key in each}):
        notes.append(f"{what}: {', '.join(keys)} of {sum(map(bool, some))} objects left out")
    return notes
