"""The file or the folder of an export, in every format that :mod:`saywhere.data.formats` writes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from saywhere.annotate.attributes import AttributeDefinition, with_defaults
from saywhere.annotate.db.labels import definitions_of
from saywhere.annotate.db.store import Store
from saywhere.annotate.db.tables import ImageRow, LabelRow
from saywhere.annotate.events import ObjectState
from saywhere.annotate.exports.licences import collect_licences
from saywhere.annotate.exports.manifest import MANIFEST, Manifest, ManifestBuilder
from saywhere.annotate.exports.options import ExportOptions
from saywhere.annotate.exports.selection import select_images
from saywhere.annotate.image_folder import ImageFolder
from saywhere.core.atomic import atomic_output
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.data import formats
from saywhere.data.formats.annotated_image import AnnotatedImage, BoxAnnotation, ObjectAnnotation, WriteOptions
from saywhere.data.split import SPLITS, Fingerprint, split_images
from saywhere.errors import SaywhereError

NOTES = "notes.txt"


@dataclass(frozen=True)
class Export:
    """An export on the disk.

    Attributes:
        path: the file, or the folder.
        manifest: what it holds.
    """

    path: Path
    manifest: Manifest


def write_export(
    store: Store, folder: ImageFolder, target: Path, options: ExportOptions, version: int | None = None,
    person: str = "",
) -> Export:  # fmt: skip
    """Write a file to download: COCO JSON, or a ZIP where there is more than one file.

    What is left out, what the format could not hold, and images whose files cannot be read, are listed in the ZIP's
    notes.txt and manifest, or under ``info`` in COCO JSON.

    Args:
        store: the project.
        folder: its images.
        target: an empty folder.
        options: what to write.
        version: the number of the export in the project, if it is kept.
        person: who exports.

    Returns:
        The file and its manifest.

    Raises:
        SaywhereError: it cannot be written.
    """
    number = "" if version is None else f"-v{version}"
    if options.is_one_file:
        return write_tree(store, folder, target / f"annotations{number}.json", options, version, person)
    written = write_tree(store, folder, target / "annotations", options, version, person)
    archive = target / f"annotations{number}-{options.format}.zip"
    pack(written.path, archive)
    return Export(archive, written.manifest)


def pack(folder: Path, archive: Path) -> None:
    """Write a folder's files into a ZIP; images, which are compressed already, as they are."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for member in sorted(folder.rglob("*")):
            if member.is_file():
                is_text = member.suffix in (".txt", ".json", ".csv", ".xml", ".yaml")
                kind = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
                file.write(member, member.relative_to(folder), kind)


def write_tree(
    store: Store, folder: ImageFolder, dest: Path, options: ExportOptions, version: int | None = None,
    person: str = "",
) -> Export:  # fmt: skip
    """Write a folder, or one JSON file where :attr:`ExportOptions.is_one_file`; arguments as for :func:`write_export`.

    Args:
        dest: what to write; it must not exist.
    """
    selection = select_images(store, options.only_done, options.only_approved)
    splits = {} if options.split is None else _split(folder, selection.rows, options)
    builder, left_out = ManifestBuilder(splits), list(selection.left_out)
    hashes = {row.path: row.sha256 for row in selection.rows}

    def images(rows: Iterable[ImageRow]) -> Iterator[AnnotatedImage]:
        for image in annotated_images(store, folder, rows):
            if options.images and not image.has_file:
                left_out.append(f"left out: {image.notes[-1].partition('; ')[0]}")
                continue
            name = image.file_name
            builder.add(image, folder.digest(name) if options.images else hashes[name])
            if name in numbers:
                image = replace(image, extra={**image.extra, "license": numbers[name]})
            yield replace(_as_boxes(image) if options.layout.boxes else image,
                          path=image.path if options.images else None)  # fmt: skip

    layout = options.layout
    licences, numbers = collect_licences(store, selection.rows)
    writing = WriteOptions(
        polygons=layout.polygons, copy=options.images, labels=[row.name for row in store.visible_labels()],
        tolerance=options.simplify, splits=splits, categories=_categories(store.visible_labels()),
        extra={"licenses": licences} if licences else {},
    )  # fmt: skip
    notes: list[str] = []
    if options.simplify and not layout.has_outlines:
        notes.append(f"outlines are not simplified: {options.format} has none")
    with atomic_output(dest) as place:
        if options.is_one_file:
            notes += formats.write(images(selection.rows), place, "coco", writing).notes
        else:
            place.mkdir(parents=True)
            for part, rows in _parts(selection.rows, options, splits):
                notes += _write_part(images(rows), place, part, options, writing)
        manifest = builder.build(options, version, folder.root.name, person, left_out, notes)
        if options.is_one_file:
            _add_to_info(place, manifest)
        else:
            (place / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
            if lines := [*left_out, *notes]:
                (place / NOTES).write_text("\n".join(lines) + "\n", encoding="utf-8")
    return Export(dest, manifest)


def _categories(labels: Sequence[LabelRow]) -> list[dict[str, Any]]:
    """COCO's categories, where a label defines attributes: with these as CVAT has them in its labels."""
    if not any(row.attributes for row in labels):
        return []
    return [
        {"id": number, "name": row.name}
        | ({"attributes": [one.as_cvat() for one in definitions_of(row)]} if row.attributes else {})
        for number, row in enumerate(labels, 1)
    ]


def _parts(
    rows: Sequence[ImageRow], options: ExportOptions, splits: dict[str, str]
) -> Iterator[tuple[str | None, Sequence[ImageRow]]]:
    """What is written apart from each other: the parts of the split, unless the format itself knows of parts."""
    if not splits or options.layout.format in ("yolo", "voc"):
        yield None, rows
        return
    for part in SPLITS:
        if some := [row for row in rows if splits[row.path] == part]:
            yield part, some


def _write_part(
    images: Iterator[AnnotatedImage], place: Path, part: str | None, options: ExportOptions, writing: WriteOptions
) -> list[str]:
    """Write the images of one part, or all of them; returns notes."""
    format = options.layout.format
    copied = _copying(images, place / "images") if format in ("coco", "png") and options.images else images
    if format == "coco":
        return formats.write(copied, place / "annotations" / f"instances{f'_{part}' if part else ''}.json", format,
                             writing).notes  # fmt: skip
    if format == "png" and options.images:
        place /= "masks"
    return formats.write(copied, place / (part or ""), format, writing).notes


def _copying(images: Iterable[AnnotatedImage], folder: Path) -> Iterator[AnnotatedImage]:
    """The same images; their files are copied to a folder."""
    for image in images:
        image.copy_file(folder / image.file_name)
        yield image


def _split(folder: ImageFolder, rows: Sequence[ImageRow], options: ExportOptions) -> dict[str, str]:
    """The part of each image, by its path."""
    assert options.split is not None, "called for a split only"
    hashes, fingerprints = {}, {}
    for row in rows:
        hashes[row.path] = row.sha256 or hashlib.sha256(row.path.encode()).hexdigest()
        try:
            with Image.open(io.BytesIO(folder.make_thumbnail(row.path))) as small:
                fingerprints[row.path] = Fingerprint.of(np.asarray(small.convert("RGB")))
        except SaywhereError:
            continue  # its file is gone or damaged: it is a group of its own
    return split_images(hashes, fingerprints, options.split)


def _as_boxes(image: AnnotatedImage) -> AnnotatedImage:
    """An image with the boxes of its objects instead of these."""
    boxes = [
        BoxAnnotation((float(x), float(y), float(w), float(h)), each.label, each.score, each.author, extra=each.extra)
        for each in image.objects
        for x, y, w, h in [each.region.box]
    ]
    return replace(image, objects=(), boxes=(*boxes, *image.boxes))


def annotated_images(store: Store, folder: ImageFolder, rows: Iterable[ImageRow]) -> Iterator[AnnotatedImage]:
    """Images of the project with their objects; those of unknown size are left out."""
    labels = store.all_labels()
    for row in rows:
        if row.width is not None and row.height is not None:
            yield _annotated_image(store, folder, row, row.width, row.height, labels)


def _annotated_image(
    store: Store, folder: ImageFolder, row: ImageRow, width: int, height: int, labels: dict[int, LabelRow]
) -> AnnotatedImage:
    history_state = store.history(row.id).state
    states = list(history_state.objects.values())
    masks = store.load_masks(row.id, [one.mask for one in states if one.mask is not None and one.area])
    objects, boxes = [], []
    for state in states:
        row_of_label = labels.get(state.label or 0)
        label = None if row_of_label is None else row_of_label.name
        extra = _extra(state, [] if row_of_label is None else definitions_of(row_of_label))
        if state.mask in masks:
            region = RunLengths(height, width, masks[state.mask])
            score = None if state.score is None else round(state.score, 4)
            objects.append(ObjectAnnotation(region, label, score, state.author, extra=extra, z_order=state.z_order))
        elif state.rectangle is not None:
            x0, y0, x1, y1 = state.rectangle
            boxes.append(BoxAnnotation((x0, y0, x1 - x0, y1 - y0), label, None, state.author, extra=extra))
    image = AnnotatedImage(
        row.path, ImageSize(height, width), tuple(objects), boxes=tuple(boxes), extra=history_state.extra
    )
    return _with_file(image, folder)


def _extra(state: ObjectState, definitions: Sequence[AttributeDefinition]) -> Mapping[str, Any]:
    """What is written of an object besides: as it was imported, with its attributes as they are now."""
    attributes = with_defaults(state.attributes, definitions)
    if not attributes:
        return state.extra
    imported = state.extra.get("attributes")
    known = imported if isinstance(imported, dict) else {}
    return {**state.extra, "attributes": {**known, **attributes}}


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


def _add_to_info(path: Path, manifest: Manifest) -> None:
    """Put the manifest, and its notes, into a COCO file's ``info``."""
    content = json.loads(path.read_text(encoding="utf-8"))
    content["info"] |= {"notes": [*manifest["left_out"], *manifest["notes"]], "manifest": manifest}
    path.write_text(json.dumps(content), encoding="utf-8")
