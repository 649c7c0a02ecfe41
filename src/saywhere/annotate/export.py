"""Masks for other programs, in every format that :mod:`saywhere.data.formats` writes."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from pathlib import Path

from saywhere.annotate.db.store import Store
from saywhere.annotate.db.tables import ImageRow, LabelRow
from saywhere.annotate.photos import Folder
from saywhere.core.rle import RunLengths
from saywhere.data import formats
from saywhere.data.formats.annotated_image import AnnotatedImage, Object, WriteOptions
from saywhere.errors import SaywhereError

NOTES = "notes.txt"


def annotated(store: Store, folder: Folder, only_done: bool = False) -> Iterator[AnnotatedImage]:
    """Every photograph that was opened, with its objects; a photograph that is done may have none."""
    labels = store.all_labels()
    _, rows = store.images("done" if only_done else None, limit=2**31 - 1)
    for row in rows:
        if row.width is not None and row.height is not None and row.state != "skipped":
            yield _annotated(store, folder, row, row.width, row.height, labels)


def _annotated(
    store: Store, folder: Folder, row: ImageRow, width: int, height: int, labels: dict[int, LabelRow]
) -> AnnotatedImage:
    things = [thing for thing in store.state(row.id).things.values() if thing.mask is not None and thing.area]
    masks = store.masks(row.id, [thing.mask for thing in things if thing.mask is not None])
    objects = []
    for thing in things:
        assert thing.mask is not None, "filtered above"
        label = labels[thing.label].name if thing.label in labels else None
        region = RunLengths(height, width, masks[thing.mask])
        objects.append(Object(region, label, None if thing.score is None else round(thing.score, 4)))
    try:
        path: Path | None = folder.locate(row.path)
    except SaywhereError:
        path = None
    return AnnotatedImage(row.path, width, height, tuple(objects), path)


def write(store: Store, folder: Folder, place: Path, form: str, only_done: bool) -> Path:
    """Write a file to download to an empty folder: COCO JSON, or a ZIP of what the format has, without photographs.

    What the format could not hold is said in the ZIP's notes.txt. Raises SaywhereError when it cannot be written.
    """
    how = WriteOptions(copy=False, labels=[row.name for row in store.labels()])
    dest = place / ("annotations.json" if form == "coco" else f"annotations-{form}")
    notes = formats.write(annotated(store, folder, only_done), dest, form, how).notes
    if form == "coco":
        return dest
    packed = place / f"{dest.name}.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(dest.rglob("*")):
            if path.is_file():
                file.write(path, path.relative_to(dest))
        if notes:
            file.writestr(NOTES, "\n".join(notes) + "\n")
    return packed
