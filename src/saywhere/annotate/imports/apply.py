"""Adds imported objects to a project: in one step for each image, which one undo takes back."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from saywhere.annotate.actions import AttributeAction
from saywhere.annotate.checks import MAX_OBJECTS
from saywhere.annotate.db.locks import ImageLockedError
from saywhere.annotate.db.store import Author, ConflictError, NewEvent, Store
from saywhere.annotate.db.tables import ImageRow
from saywhere.annotate.image_folder import ImageFolder
from saywhere.annotate.imports.plan import ImportPlan, PlannedImage, new_annotations, new_data
from saywhere.annotate.imports.status import ImportStatus
from saywhere.annotate.interactions import Attribute
from saywhere.core.geometry import ImageSize
from saywhere.data.formats.annotated_image import BoxAnnotation, Extra, ObjectAnnotation
from saywhere.errors import SaywhereError

ATTEMPTS = 3  # for an image that somebody changes at the same moment


@dataclass
class ImportResult:
    """What was added.

    Attributes:
        images: numbers of the images that were changed.
        objects: how many objects were added.
        left_out: what was not added although it was planned, and why.
    """

    images: list[int] = field(default_factory=list)
    objects: int = 0
    left_out: list[str] = field(default_factory=list)


def apply_import(
    store: Store, folder: ImageFolder, plan: ImportPlan, status: ImportStatus, author: Author, source: str,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ImportResult:  # fmt: skip
    """Add what was planned; images are done one after another, and each is on the disk when the next one begins.

    Args:
        store: the project.
        folder: its images.
        plan: what to add. What came into the project since is not added again.
        status: what the images with new objects are marked as: to do, or done. With ``done``, images of the file
            without an object that nobody has annotated are done too.
        author: who imports.
        source: name of the file.
        progress: called with the number of images that are done, and of all.

    Returns:
        What was added. An image that somebody is editing is left out.
    """
    result, labels = ImportResult(), _Labels(store)
    for done, image in enumerate(plan.images, 1):
        try:
            added = _add(store, folder, image, status, author, source, result, labels)
        except ImageLockedError as error:
            result.left_out.append(f"image '{image.row.path}': {error.holder} is editing it now; import again later")
        except SaywhereError as error:
            result.left_out.append(str(error))
        else:
            if added is not None:
                result.images.append(image.row.id)
                result.objects += added
        progress(done, len(plan.images))
    numbers = {row.name: row.id for row in store.visible_labels()}
    for name, definitions in plan.attributes.items():
        if name in numbers:
            store.labels.define_missing(numbers[name], definitions, author.person)
    return result


def _add(
    store: Store, folder: ImageFolder, image: PlannedImage, status: ImportStatus, author: Author, source: str,
    result: ImportResult, labels: _Labels,
) -> int | None:  # fmt: skip
    """Add an image's objects: how many; None where nothing was to be done."""
    for attempt in range(1, ATTEMPTS + 1):
        row, history = store.image(image.row.id), store.history(image.row.id)
        objects = new_annotations(store, image)
        room = MAX_OBJECTS - len(history.state.objects)
        if len(objects) > room:
            result.left_out.append(
                f"image '{row.path}': {len(objects) - room} objects; {MAX_OBJECTS} is the maximum of an image"
            )
            objects = objects[:room]
        is_negative = not image.annotations and status == "done" and row.state == "new"
        extra = new_data(store, row.id, image.extra, image.licence)
        if not objects and not is_negative and not extra:
            return None
        events = [
            _event(labels, each, id, source) for id, each in enumerate(objects, history.state.next_id)
        ]  # fmt: skip
        if extra:
            data = {"extra": dict(extra), "licence": image.licence and dict(image.licence), "source": source[:200]}
            events.append(NewEvent("image-data", None, data, took_ms=0))
        if status == "done" and (objects or is_negative):
            events.append(NewEvent("mark", None, {"value": "done"}, took_ms=0))
        _record_file(store, folder, row, image.size)
        held = store.holds_lock(row.id, author)
        try:
            store.append_events(row.id, history, f"import-{secrets.token_hex(12)}", author, events)
        except ConflictError:
            if attempt == ATTEMPTS:
                raise
            continue
        if not held:
            store.unlock_image(row.id, author)
        return len(objects)
    raise AssertionError("the last attempt returns or raises")


class _Labels:
    """Numbers of labels by name; each that is not there yet is created once."""

    def __init__(self, store: Store) -> None:
        self._store, self._numbers = store, {row.name: row.id for row in store.visible_labels()}

    def number(self, name: str | None) -> int | None:
        """The number of a label; None for none."""
        if name is not None and name not in self._numbers:
            self._numbers[name] = self._store.labels.add(name, exact=True).label.id
        return None if name is None else self._numbers[name]


def _event(labels: _Labels, each: ObjectAnnotation | BoxAnnotation, id: int, source: str) -> NewEvent:
    attributes, extra = split_attributes(each.extra)
    data: dict[str, Any] = {
        "label": labels.number(each.label), "author": each.author, "extra": extra, "attributes": attributes,
        "rectangle": None, "source": source[:200],
    }  # fmt: skip
    if isinstance(each, BoxAnnotation):
        x, y, w, h = each.box
        return NewEvent("import", id, data | {"rectangle": [x, y, x + w, y + h]}, took_ms=0)
    region = each.region
    return NewEvent("import", id, data, mask=region.counts, score=each.score, area=region.area, took_ms=0)


def split_attributes(extra: Extra) -> tuple[dict[str, Attribute], dict[str, Any]]:
    """The attributes of an object that the annotator can show and change, and what else a file says of it.

    Example:
        >>> split_attributes({"attributes": {"occluded": True, "points": [1, 2]}, "keypoints": [3]})
        ({'occluded': True}, {'keypoints': [3], 'attributes': {'points': [1, 2]}})
    """
    given = extra.get("attributes")
    if not isinstance(given, dict):
        return {}, dict(extra)
    attributes, others = {}, {}
    for name, value in given.items():
        try:
            action = AttributeAction(kind="attribute", object=1, name=name, value=value)
        except ValidationError:
            others[name] = value
        else:
            if action.value is None:
                others[name] = value
            else:
                attributes[name] = value  # as it is written there: 3 does not become 3.0
    rest = {key: value for key, value in extra.items() if key != "attributes"}
    return attributes, rest | ({"attributes": others} if others else {})


def _record_file(store: Store, folder: ImageFolder, row: ImageRow, size: ImageSize) -> None:
    """Store the size and the hash of an image that was never loaded."""
    if row.sha256 is None or row.width is None or row.seq == 0:
        store.record_file(row.id, size, folder.digest(row.path), None)
