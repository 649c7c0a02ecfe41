"""Checks of the structure of COCO JSON: ids are unique, every annotation is of an image."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from typing import Any

from saywhere.data.coco_entries import Entry, Id, annotation_name, check_id

CATEGORY, IMAGE = "category", "image"


def with_ids(entries: Iterable[Any], what: str, faults: list[str]) -> Iterator[tuple[int, Id, Entry]]:
    """The entries of a list that have an id of their own.

    Args:
        entries: as the file has them.
        what: :data:`IMAGE` or :data:`CATEGORY`.
        faults: gets a line for each entry that is left out.

    Yields:
        Row in the list, id and entry.

    Raises:
        SaywhereError: an id is neither a number nor text.
    """
    seen: dict[Id, Entry | None] = {}
    for number, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            faults.append(f"{what} number {number}: expected an object; see the COCO format")
        elif (name := entry.get("id")) is None:
            faults.append(f"{what} number {number}: an id of its own is needed")
        elif check_id(name, f"id of {what} number {number}") not in seen:
            seen[name] = entry if what == CATEGORY else None
            yield number - 1, name, entry
        # Some programs list a category twice, which does no harm.
        elif what == IMAGE or entry != seen[name]:
            faults.append(f"{what} {name}: another has the same id; give each one of its own")


def of_images(annotations: Iterable[Any], images: Container[Id], faults: list[str]) -> Iterator[tuple[int, Entry]]:
    """The annotations that are of an image and have no other's id.

    Args:
        annotations: as the file has them.
        images: the ids of the images.
        faults: gets a line for each annotation that is left out.

    Yields:
        Row in the list, and annotation.

    Raises:
        SaywhereError: an id is neither a number nor text.
    """
    ids: set[str] = set()
    for number, annotation in enumerate(annotations, 1):
        if not isinstance(annotation, dict):
            faults.append(f"annotation number {number}: expected an object; see the COCO format")
        elif (image_id := annotation.get("image_id")) is None or check_id(image_id, "image_id") not in images:
            faults.append(f"{annotation_name(annotation, number)}: image_id {image_id}: no such image")
        elif _is_taken(annotation.get("id"), ids):
            faults.append(f"annotation {annotation['id']}: another has the same id; give each one of its own")
        else:
            yield number - 1, annotation


def _is_taken(name: Any, ids: set[str]) -> bool:
    """Whether an annotation before has this id, which is remembered. Outputs name them by their text."""
    if name is None:
        return False
    text = str(check_id(name, "id of an annotation"))
    taken = text in ids
    ids.add(text)
    return taken
