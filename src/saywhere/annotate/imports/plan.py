"""What an import would add to a project, and what is left out and why. Nothing is changed."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from saywhere.annotate.attributes import AttributeDefinition, missing_definitions, redefined
from saywhere.annotate.db.labels import definitions_of
from saywhere.annotate.db.store import Store
from saywhere.annotate.db.tables import ImageRow
from saywhere.annotate.image_folder import ImageFolder
from saywhere.annotate.imports.duplicates import KnownObject, LabelledBox, find_duplicate_boxes, find_duplicates
from saywhere.annotate.imports.matching import ImageMatcher
from saywhere.annotate.imports.upload import find_sources
from saywhere.core.geometry import Box, ImageSize
from saywhere.core.prompt import checked_box
from saywhere.core.rle import RunLengths
from saywhere.data import formats
from saywhere.data.formats import yolo
from saywhere.data.formats.annotated_image import AnnotatedImage, BoxAnnotation, Extra, ObjectAnnotation
from saywhere.data.notes import group_notes
from saywhere.errors import SaywhereError

Annotation = TypeVar("Annotation", ObjectAnnotation, BoxAnnotation)
MAX_LABEL = 100  # characters
MAX_EXTRA = 20_000  # characters of what else a file says of an object, as JSON


@dataclass(frozen=True)
class PlannedImage:
    """An image of the project with the objects of the file.

    Attributes:
        row: the image.
        size: its size.
        objects: all of the file's with a mask, also those that are in the project already.
        boxes: all of the file's without one, within the image.
        new: how many of all these would be added.
        extra: what else the file says of the image: date, flags, address.
        licence: the entry of the file's licences that the image names.
    """

    row: ImageRow
    size: ImageSize
    objects: tuple[ObjectAnnotation, ...]
    boxes: tuple[BoxAnnotation, ...]
    new: int
    extra: Extra = field(default_factory=dict)
    licence: Extra | None = None

    @property
    def annotations(self) -> tuple[ObjectAnnotation | BoxAnnotation, ...]:
        """The objects, and then the boxes."""
        return (*self.objects, *self.boxes)


@dataclass
class ImportPlan:
    """What an import would add.

    Attributes:
        images: the images that are in the project.
        new_labels: names of labels that would be created.
        duplicates: how many objects are in the project already.
        attributes: definitions of attributes that would be added, by the name of their label.
        left_out: what is not imported and why, a line for each reason.
    """

    images: list[PlannedImage] = field(default_factory=list)
    new_labels: list[str] = field(default_factory=list)
    duplicates: int = 0
    attributes: dict[str, list[AttributeDefinition]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def objects(self) -> int:
        """How many objects would be added."""
        return sum(image.new for image in self.images)

    @property
    def with_data(self) -> int:
        """How many images would get what else the file says of them: licence, date, flags."""
        return sum(bool(image.extra) for image in self.images)

    @property
    def empty_images(self) -> int:
        """How many images of the file have no object and were not annotated: negatives, where all is done."""
        return sum(not image.annotations and image.row.state == "new" for image in self.images)


def plan_import(
    store: Store, folder: ImageFolder, place: Path, format: str | None = None, crowds: bool = False
) -> ImportPlan:
    """Read annotations and compare them with the project.

    Args:
        store: the project.
        folder: its images.
        place: a file, or a folder, of annotations.
        format: what they are in; by default it is recognised.
        crowds: import crowd regions as objects; else they are left out.

    Raises:
        SaywhereError: nothing of it can be read.
    """
    _, rows = store.list_images(limit=2**31 - 1)
    reader = _Reader(store, folder, ImageMatcher(rows), crowds)
    try:
        for source, name in find_sources(place, format):
            try:
                reader.read(source, name)
            except SaywhereError as error:
                reader.faults.append(str(error))
        return reader.plan(place)
    except SaywhereError as error:
        raise SaywhereError(_without_folder(str(error), place)) from error


def _without_folder(text: str, place: Path) -> str:
    """A line that names what it is about as whoever gave the file knows it."""
    inside = text.replace(f"{place}/", "")
    return inside.replace(str(place), place.name).replace(f"{place.parent}/", "")


class _Reader:
    """Reads sources one after another into what is known of each image of the project."""

    def __init__(self, store: Store, folder: ImageFolder, matcher: ImageMatcher, crowds: bool) -> None:
        self._store, self._folder, self._matcher, self._crowds = store, folder, matcher, crowds
        self._found: dict[int, tuple[ImageRow, ImageSize, list[ObjectAnnotation], list[BoxAnnotation]]] = {}
        self._left_out: Counter[str] = Counter()
        self._unmatched: list[str] = []
        self._notes: list[str] = []
        self._attributes: dict[str, list[AttributeDefinition]] = {}
        self._licences: dict[Any, Extra] = {}  # of the source that is being read
        self._extra: dict[int, tuple[Extra, Extra | None]] = {}
        self.faults: list[str] = []

    def read(self, source: Path, name: str) -> None:
        """Read a file, or a folder, in the format of this name."""
        for read_one in self._images(source, name):
            try:
                image = read_one()
            except SaywhereError as error:
                self.faults.append(str(error))
                continue
            if image is not None:
                self._add(image)

    def _images(self, source: Path, name: str) -> Iterator[partial[AnnotatedImage]]:
        if name == "yolo":
            yield from self._yolo_images(source)
            return
        annotations = formats.read(source, name, self._folder.root)
        self._notes += annotations.notes
        self._read_attributes(annotations.categories)
        listed = annotations.extra.get("licenses")
        self._licences = {
            each["id"]: each for each in (listed if isinstance(listed, list) else []) if _has_id(each)
        }  # fmt: skip
        for each in annotations.images:
            yield partial(each)

    def _read_attributes(self, categories: Sequence[Extra]) -> None:
        """Keep the definitions of attributes that the categories of a COCO file have, as CVAT writes them."""
        for category in categories:
            name, given = clean_label(str(category.get("name") or "")), category.get("attributes")
            if name is None or not isinstance(given, list) or name in self._attributes:
                continue
            try:
                some = [AttributeDefinition.from_cvat(each) for each in given]
                redefined([(one, None) for one in some], [])
            except SaywhereError as error:
                self._notes.append(f"label '{name}': its attributes are left out ({error})")
            else:
                self._attributes[name] = some

    def _yolo_images(self, source: Path) -> Iterator[partial[AnnotatedImage]]:
        """Of YOLO only the text files count: sizes are those of the project's images."""
        classes, tables = yolo.read_tables(source)
        for stem, table in tables.items():
            row = self._matcher.find_stem(stem)
            if row is None:
                self._unmatched.append(stem)
                continue
            try:
                path = self._folder.locate(row.path)
            except SaywhereError as error:
                self.faults.append(str(error))
                continue
            yield partial(yolo.read_table, row.path, path, table, classes)

    def _add(self, image: AnnotatedImage) -> None:
        row = self._matcher.find(image.file_name)
        if row is None:
            self._unmatched.append(image.file_name)
            return
        size = _size_of(row, self._folder)
        if size is None:
            self.faults.append(f"image '{row.path}': cannot be read")
            return
        if size != image.size:
            self.faults.append(
                f"image '{row.path}': is {size.width}x{size.height}; the file's masks are "
                f"{image.size.width}x{image.size.height}"
            )
            return
        self._notes += image.notes
        if len(json.dumps(dict(image.extra))) > MAX_EXTRA:
            self._left_out["what a file says of images beside objects, where it is very long"] += 1
        elif image.extra:
            licence = image.extra.get("license")
            known = self._licences.get(licence) if isinstance(licence, (int, str)) else None
            self._extra[row.id] = image.extra, known
        _, _, objects, boxes = self._found.setdefault(row.id, (row, size, [], []))
        for each in image.objects:
            if not self._is_crowd(each) and each.region.area:
                objects.append(self._cleaned(each))
            elif not each.region.area:
                self._left_out["objects without a pixel"] += 1
        for box in image.boxes:
            if self._is_crowd(box):
                continue
            try:
                inside = _as_box(checked_box(_edges(box), size))
            except SaywhereError:
                self._left_out["boxes outside the image"] += 1
            else:
                boxes.append(self._cleaned(replace(box, box=inside)))

    def _is_crowd(self, each: ObjectAnnotation | BoxAnnotation) -> bool:
        """Whether it is left out as a crowd region."""
        left_out = each.is_crowd and not self._crowds
        self._left_out["crowd regions"] += left_out
        return left_out

    def _cleaned(self, each: Annotation) -> Annotation:
        """An object with a label that a project can have, and as much of the rest as is kept."""
        label = None if each.label is None else clean_label(each.label)
        extra = each.extra
        if extra and len(json.dumps(dict(extra))) > MAX_EXTRA:
            self._left_out["what a file says of objects beside label, score and author, where it is very long"] += 1
            extra = {}
        return replace(each, label=label, extra=extra, author=(each.author or "")[:200] or None)

    def plan(self, place: Path) -> ImportPlan:
        """The plan of all that was read. SaywhereError when nothing could be read."""
        if not self._found and not self._unmatched and self.faults:
            raise SaywhereError(self.faults[0])
        plan = ImportPlan()
        needed: dict[str, None] = {}
        for row, size, objects, boxes in self._found.values():
            extra, licence = self._extra.get(row.id, ({}, None))
            image = PlannedImage(row, size, tuple(objects), tuple(boxes), 0)
            image = replace(image, extra=new_data(self._store, row.id, extra, licence), licence=licence)
            new = new_annotations(self._store, image)
            plan.images.append(replace(image, new=len(new)))
            plan.duplicates += len(image.annotations) - len(new)
            needed |= dict.fromkeys(each.label for each in new if each.label is not None)
        plan.images.sort(key=lambda image: image.row.path)
        existing = {row.name: row for row in self._store.visible_labels()}
        for name, definitions in self._attributes.items():
            if name in existing or name in needed:
                old = definitions_of(existing[name]) if name in existing else []
                if missing := missing_definitions(definitions, old):
                    plan.attributes[name] = missing
        plan.new_labels = [name for name in needed if name not in existing]
        plan.left_out = self._reasons(place, plan.duplicates)
        return plan

    def _reasons(self, place: Path, duplicates: int) -> list[str]:
        lines = []
        if duplicates:
            lines.append(f"objects that are in the project already, or twice in the file: {duplicates:,}")
        if self._unmatched:
            names = ", ".join(f"'{name}'" for name in self._unmatched[:3])
            count = len(self._unmatched)
            what = "an image that is" if count == 1 else f"{count:,} images that are"
            lines.append(f"{what} not in this project: {names}{', ...' if count > 3 else ''}")
        lines += [f"{what}: {count:,}" for what, count in self._left_out.items() if count]
        inside = f"{self._folder.root}/"
        notes = [_without_folder(note.replace(inside, ""), place) for note in [*self.faults, *self._notes]]
        return [*lines, *group_notes(notes)]


def _has_id(entry: object) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("id"), (int, str)) and len(json.dumps(entry)) <= MAX_EXTRA


def new_data(store: Store, image: int, extra: Extra, licence: Extra | None) -> Extra:
    """What a file says of an image that the project does not know; all of it where its licence is another one."""
    state = store.history(image).state
    if licence is not None and licence != state.licence:
        return extra
    return {key: value for key, value in extra.items() if key not in state.extra or state.extra[key] != value}


def clean_label(name: str) -> str | None:
    """A label as a project can have it: one line, printable, of at most 100 characters; None where nothing is left.

    Example:
        >>> clean_label(" traffic  light\\n")
        'traffic light'
    """
    text = " ".join("".join(c if c.isprintable() else " " for c in name).split())
    return text[:MAX_LABEL].strip() or None


def new_annotations(store: Store, image: PlannedImage) -> list[ObjectAnnotation | BoxAnnotation]:
    """The objects and boxes of an image that are not in the project yet."""
    row, size = image.row, image.size
    names: Mapping[int, str] = {id: label.name for id, label in store.all_labels().items()}
    states = list(store.history(row.id).state.objects.values())
    events = {event for state in states for event in (state.mask, state.given) if event is not None}
    masks = {seq: RunLengths(*size, counts) for seq, counts in store.load_masks(row.id, events).items()}
    known: list[KnownObject] = []
    boxes: list[LabelledBox] = []
    for state in states:
        name = names.get(state.label or 0)
        if state.mask in masks and state.area:
            region = masks[state.mask]
            known.append(KnownObject(name, region, None if state.given is None else masks[state.given]))
            x, y, w, h = region.box
            boxes.append((name, (float(x), float(y), float(x + w), float(y + h))))
        elif state.rectangle is not None:
            boxes.append((name, state.rectangle))
    same = find_duplicates([(each.label, each.region) for each in image.objects], known)
    same += find_duplicate_boxes([(each.label, _edges(each)) for each in image.boxes], boxes)
    return [each for each, is_known in zip(image.annotations, same, strict=True) if not is_known]


def _edges(box: BoxAnnotation) -> Box:
    x, y, w, h = box.box
    return x, y, x + w, y + h


def _as_box(edges: Box) -> tuple[float, float, float, float]:
    """x, y, width and height of a box that is given by its edges."""
    x0, y0, x1, y1 = edges
    return x0, y0, x1 - x0, y1 - y0


def _size_of(row: ImageRow, folder: ImageFolder) -> ImageSize | None:
    """The size that an image was annotated with, or else that of its file; None where it cannot be read."""
    if row.seq > 0 and row.width is not None and row.height is not None:
        return ImageSize(row.height, row.width)
    try:
        return folder.header(row.path).size
    except SaywhereError:
        return None
