"""Masks for other programs, in every format that :mod:`saywhere.data.formats` writes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from saywhere.annotate.db.store import Store
from saywhere.annotate.db.tables import ImageRow, LabelRow
from saywhere.annotate.exports.selection import select_images
from saywhere.annotate.image_folder import ImageFolder
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.data import formats
from saywhere.data.formats.annotated_image import AnnotatedImage, ObjectAnnotation, WriteOptions
from saywhere.errors import SaywhereError

NOTES = "notes.txt"


def annotated_images(store: Store, folder: ImageFolder, rows: Iterable[ImageRow]) -> Iterator[AnnotatedImage]:
    """Images of the project with their objects; those of unknown size are left out."""
    labels = store.all_labels()
    for row in rows:
        if row.width is not None and row.height is not None:
            yield _annotated_image(store, folder, row, row.width, row.height, labels)


def _annotated_image(
    store: Store, folder: ImageFolder, row: ImageRow, width: int, height: int, labels: dict[int, LabelRow]
) -> AnnotatedImage:
    states = [one for one in store.history(row.id).state.objects.values() if one.mask is not None and one.area]
    masks = store.load_masks(row.id, [one.mask for one in states if one.mask is not None])
    objects = []
    for state in states:
        assert state.mask is not None, "filtered above"
        label = labels[state.label].name if state.label in labels else None
        region = RunLengths(height, width, masks[state.mask])
        objects.append(ObjectAnnotation(region, label, None if state.score is None else round(state.score, 4)))
    return _with_file(AnnotatedImage(row.path, ImageSize(height, width), tuple(objects)), folder)


def _with_file(image: AnnotatedImage, folder: ImageFolder) -> AnnotatedImage:
    """An image with its file; without it, and with a note, where that is gone, damaged or of another size.

    The masks were made when the file was whole: they are never held back on its account.
    """
    stored = f"its masks are exported with the stored size, {image.size.width}x{image.size.height}"
    try:
        path, header = folder.locate(image.file_name), folder.header(image.file_name)
    except SaywhereError as error:
        return replace(image, notes=(*image.notes, f"{error}; {stored}"), is_turned=False)
    if header.size != image.size:
        now = f"image '{image.file_name}': its file is {header.size.width}x{header.size.height} now"
        return replace(image, notes=(*image.notes, f"{now}; {stored}"), is_turned=False)
    return replace(image, path=path, is_turned=header.is_turned)


def _add_notes(path: Path, notes: list[str]) -> None:
    """Add notes to a COCO file's ``info``."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["info"]["notes"] = notes
    path.write_text(json.dumps(content), encoding="utf-8")


def write_export(store: Store, folder: ImageFolder, target: Path, format: str, only_done: bool = True) -> Path:
    """Write a file to download: COCO JSON, or a ZIP of another format, without images.

    What is left out, what the format could not hold, and images whose files cannot be read, are listed in the ZIP's
    notes.txt, or under ``info.notes`` in COCO JSON.

    Args:
        store: the project.
        folder: its images.
        target: an empty folder.
        format: one of :data:`saywhere.data.formats.FORMATS`.
        only_done: leave out images that are not done.

    Returns:
        The file.

    Raises:
        SaywhereError: it cannot be written.
    """
    options = WriteOptions(copy=False, labels=[row.name for row in store.visible_labels()])
    path = target / ("annotations.json" if format == "coco" else f"annotations-{format}")
    selection = select_images(store, only_done)
    images = annotated_images(store, folder, selection.rows)
    notes = [*selection.left_out, *formats.write(images, path, format, options).notes]
    if format == "coco":
        _add_notes(path, notes)
        return path
    archive = target / f"{path.name}.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for member in sorted(path.rglob("*")):
            if member.is_file():
                file.write(member, member.relative_to(path))
        if notes:
            file.writestr(NOTES, "\n".join(notes) + "\n")
    return archive
