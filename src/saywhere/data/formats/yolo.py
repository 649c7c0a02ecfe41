"""YOLO for segmentation, as Ultralytics reads it: a text file of polygons for each image, and data.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
import yaml

from saywhere.core.images import list_images, read_header
from saywhere.data.checks import check_label
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    ClassNumbers,
    ObjectAnnotation,
    WriteOptions,
    note_default_labels,
    note_lost_scores,
)
from saywhere.data.formats.names import UniqueNames
from saywhere.data.formats.polygons import Ring, fill_polygons, join_pieces, polygons_through_pixel_centres
from saywhere.errors import SaywhereError
from saywhere.storage.atomic import copy_file

TOLERANCE = 0.01  # how far outside [0, 1] a coordinate may be, as in Ultralytics


class _Quoted(str):
    """A label that YAML writes in double quotes: only there does it escape every kind of line break."""


class _Dumper(yaml.SafeDumper):
    pass


_Dumper.add_representer(
    _Quoted, lambda dumper, label: dumper.represent_scalar("tag:yaml.org,2002:str", label, style='"')
)


def read_yolo(source: Path, images: Path | None) -> AnnotationSource:
    """The annotated images of a YOLO dataset.

    Args:
        source: the folder of ``data.yaml``, of which only the names are read: paths in it are not followed. The images
            are those in every folder ``images`` below it, the text files those in ``labels`` that match.
        images: the folder of the images, when they are not in ``source``.

    Raises:
        SaywhereError: there is no ``data.yaml``, or no image for a text file.
    """
    labels = _read_names(source)
    tables = {
        _without_folder(path.relative_to(source).as_posix(), "labels"): path
        for path in source.rglob("*.txt")
        if "labels" in path.relative_to(source).parts[:-1]
    }
    if images:
        image_paths = {name: images / name for name in list_images(images)}
    else:
        names = [name for name in list_images(source) if "images" in PurePosixPath(name).parts[:-1]]
        image_paths = {_without_folder(name, "images"): source / name for name in names}
    stems = {_stem(name) for name in image_paths}
    unmatched = [path for name, path in tables.items() if _stem(name) not in stems]
    if unmatched or not image_paths:
        which = f"{len(unmatched)} text files have none, the first is '{unmatched[0]}'" if unmatched else (
            "there is none at all"
        )  # fmt: skip
        raise SaywhereError(f"source '{source}': photographs are needed in images/ for their sizes; {which}")
    readers = [
        partial(_read_image, name, path, tables.get(f"{_stem(name)}.txt"), labels) for name, path in image_paths.items()
    ]
    return AnnotationSource(readers, [labels[number] for number in sorted(labels)])


def _stem(name: str) -> str:
    """A path without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def _without_folder(name: str, folder: str) -> str:
    """A path without the last of its folders of this name: what ``images`` and ``labels`` have in common."""
    parts = list(PurePosixPath(name).parts)
    del parts[len(parts) - 1 - parts[::-1].index(folder)]
    return "/".join(parts)


def _read_names(source: Path) -> dict[int, str]:
    """The labels by class number, from ``data.yaml``."""
    path = next((p for p in (source / "data.yaml", *sorted(source.glob("*.y*ml"))) if p.is_file()), None)
    if path is None:
        raise SaywhereError(f"source '{source}': no data.yaml; it names the classes")
    try:
        names = yaml.safe_load(path.read_text(encoding="utf-8"))["names"]
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {int(number): check_label(str(name)) or str(number) for number, name in pairs}
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise SaywhereError(f"'{path}': expected names, a list of classes ({' '.join(str(error).split())})") from error


def _read_image(file_name: str, path: Path, table: Path | None, labels: Mapping[int, str]) -> AnnotatedImage:
    header = read_header(path)
    height, width = header.size
    objects, boxes = [], 0
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines() if table else []
    except (OSError, ValueError) as error:
        raise SaywhereError(f"'{table}': cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        fields = line.split()
        if len(fields) == 5:
            boxes += 1
        elif fields:
            try:
                label, polygon = _read_row(fields, labels)
            except SaywhereError as error:
                raise SaywhereError(f"'{table}', line {number}: {error}") from error
            ring = np.clip(polygon * (width, height), 0, (width - 1, height - 1))
            objects.append(ObjectAnnotation.from_mask(fill_polygons([ring], header.size), label))
    notes = (f"photograph '{file_name}': {boxes} boxes without an outline left out",) if boxes else ()
    return AnnotatedImage(file_name, header.size, tuple(objects), path, notes, header.is_turned)


def _read_row(fields: list[str], labels: Mapping[int, str]) -> tuple[str, Ring]:
    """The label and the polygon of one line; its x, y are shares of width and height."""
    try:
        values = np.array([float(field) for field in fields[1:]])
    except ValueError:
        values = np.array([np.nan])
    if len(values) < 6 or len(values) % 2 or not np.isfinite(values).all():
        raise SaywhereError("expected a class and then x, y of three points or more")
    if values.min() < -TOLERANCE or values.max() > 1.0 + TOLERANCE:
        raise SaywhereError(f"x, y from {values.min():g} to {values.max():g}; expected parts of the size, 0 to 1")
    if not fields[0].isdecimal() or int(fields[0]) not in labels:
        raise SaywhereError(f"class {fields[0]}: not in data.yaml, which has {len(labels)} classes")
    return labels[int(fields[0])], values.reshape(-1, 2)


def write_yolo(images: Iterable[AnnotatedImage], dest: Path, options: WriteOptions, notes: list[str]) -> None:
    """Write ``images``, ``labels`` and ``data.yaml``, in which all images are for both training and validation.

    A line holds one polygon: holes are joined to their outline, further pieces to the nearest, by thin cuts.
    """
    classes, unique = ClassNumbers(options.labels, first=0), UniqueNames()
    (dest / "images").mkdir(parents=True)
    for image in images:
        name = unique.claim(image.file_name, notes)
        notes += note_default_labels(image) + note_lost_scores(image)
        lines = []
        for each in image.objects:
            ring, lost = to_one_polygon(each)
            notes += [f"photograph '{image.file_name}', object {each.class_name!r}: {note}" for note in lost]
            if ring is not None:
                # The middle of a pixel stays in it however a reader rounds.
                shares = (ring + 0.5) / (image.size.width, image.size.height)
                lines.append(" ".join([str(classes.number(each.class_name)), *(f"{v:.7g}" for v in shares.ravel())]))
        path = dest / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if options.copy and image.path:
            copy_file(image.path, dest / "images" / (name + Path(image.file_name).suffix))
    names = {number: label if label.isprintable() else _Quoted(label) for label, number in classes.numbers.items()}
    content = {"train": "images", "val": "images", "names": names}
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    (dest / "data.yaml").write_text(text, encoding="utf-8")


def to_one_polygon(each: ObjectAnnotation) -> tuple[Ring | None, list[str]]:
    """One polygon for an object, through the centres of its border pixels.

    Returns:
        The polygon, None for an empty object; and notes of what it alters.
    """
    mask = each.mask
    pieces = polygons_through_pixel_centres(mask)
    if not pieces:
        return None, ["is empty; left out"]
    ring = join_pieces(pieces)
    differ = int((fill_polygons([ring], each.region.size) ^ mask).sum())
    if not differ:
        return ring, []
    joined = f"; it is of {len(pieces)} pieces, now joined" if len(pieces) > 1 else ""
    return ring, [f"its polygon differs from its mask in {differ} of {each.region.area:,} pixels{joined}"]
