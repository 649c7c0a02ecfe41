"""YOLO for segmentation, as Ultralytics reads it: a text file of polygons for a photograph, and data.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np
import yaml

from saywhere.core.images import ENDINGS, image_size
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    Classes,
    Object,
    Source,
    WriteOptions,
    checked_label,
    without_label,
    without_score,
)
from saywhere.data.formats.names import Names
from saywhere.data.formats.polygons import Ring, along_centres, filled, one_ring
from saywhere.errors import SaywhereError
from saywhere.storage.atomic import copy_file

SLACK = 0.01  # how far outside [0, 1] a coordinate may be, as Ultralytics tolerates


def read_yolo(source: Path, photos: Path | None) -> Source:
    """The photographs in every folder ``images`` under ``source`` (or in ``photos``), with the text files that go
    with them in ``labels``. Paths in ``data.yaml`` are not followed: only its names are read.

    SaywhereError when there is no ``data.yaml`` or no photograph.
    """
    labels = _names(source)
    tables = {_without_folder(path.relative_to(source), "labels"): path for path in source.rglob("*.txt")
              if "labels" in path.relative_to(source).parts[:-1]}  # fmt: skip
    pictures: dict[str, Path] = {}
    for path in sorted((photos or source).rglob("*")):
        inner = path.relative_to(photos or source)
        if path.suffix.lower() in ENDINGS and path.is_file() and (photos or "images" in inner.parts[:-1]):
            pictures[inner.as_posix() if photos else _without_folder(inner, "images")] = path
    stems = {str(Path(file).with_suffix("")) for file in pictures}
    lone = [path for file, path in tables.items() if str(Path(file).with_suffix("")) not in stems]
    if lone or not pictures:
        which = f"{len(lone)} text files have none, the first is '{lone[0]}'" if lone else "there is none at all"
        raise SaywhereError(f"source '{source}': photographs are needed in images/ for their sizes; {which}")
    found = [
        partial(_photo, file, path, tables.get(str(Path(file).with_suffix(".txt").as_posix())), labels)
        for file, path in pictures.items()
    ]
    return Source(found, [labels[number] for number in sorted(labels)])


def _without_folder(path: Path, folder: str) -> str:
    """A path without the last of its folders of this name: what ``images`` and ``labels`` have in common."""
    parts = list(path.parts)
    del parts[len(parts) - 1 - parts[::-1].index(folder)]
    return "/".join(parts)


def _names(source: Path) -> dict[int, str]:
    """The labels by number, from ``data.yaml``."""
    path = next((p for p in (source / "data.yaml", *sorted(source.glob("*.y*ml"))) if p.is_file()), None)
    if path is None:
        raise SaywhereError(f"source '{source}': no data.yaml; it names the classes")
    try:
        names = yaml.safe_load(path.read_text(encoding="utf-8"))["names"]
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        return {int(number): checked_label(str(name)) or str(number) for number, name in pairs}
    except (OSError, ValueError, TypeError, KeyError, yaml.YAMLError) as error:
        raise SaywhereError(f"'{path}': expected names, a list of classes ({' '.join(str(error).split())})") from error


def _photo(file: str, path: Path, table: Path | None, labels: Mapping[int, str]) -> AnnotatedImage:
    width, height = image_size(path)
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
                label, polygon = _row(fields, labels)
            except SaywhereError as error:
                raise SaywhereError(f"'{table}', line {number}: {error}") from error
            ring = np.clip(polygon * (width, height), 0, (width - 1, height - 1))
            objects.append(Object.of(filled([ring], (height, width)), label))
    notes = (f"photograph '{file}': {boxes} boxes without an outline left out",) if boxes else ()
    return AnnotatedImage(file, width, height, tuple(objects), path, notes)


def _row(fields: list[str], labels: Mapping[int, str]) -> tuple[str, Ring]:
    """The label and the polygon ``(N, 2)``, in parts of width and height, of one line."""
    try:
        values = np.array([float(field) for field in fields[1:]])
    except ValueError:
        values = np.array([np.nan])
    if len(values) < 6 or len(values) % 2 or not np.isfinite(values).all():
        raise SaywhereError("expected a class and then x, y of three points or more")
    if values.min() < -SLACK or values.max() > 1.0 + SLACK:
        raise SaywhereError(f"x, y from {values.min():g} to {values.max():g}; expected parts of the size, 0 to 1")
    if not fields[0].isdecimal() or int(fields[0]) not in labels:
        raise SaywhereError(f"class {fields[0]}: not in data.yaml, which has {len(labels)} classes")
    return labels[int(fields[0])], values.reshape(-1, 2)


def write_yolo(photos: Iterable[AnnotatedImage], dest: Path, how: WriteOptions, notes: list[str]) -> None:
    """Write ``images``, ``labels`` and ``data.yaml``, in which all photographs are for both training and validation.

    A line holds one polygon: holes are joined to their rim, further pieces to the nearest, by thin cuts.
    """
    classes, taken = Classes(how.labels, first=0), Names()
    (dest / "images").mkdir(parents=True)
    for photo in photos:
        name = taken.claim(photo.file, notes)
        notes += without_label(photo) + without_score(photo)
        lines = []
        for one in photo.objects:
            ring, said = one_polygon(one)
            notes += [f"photograph '{photo.file}', object {one.named!r}: {note}" for note in said]
            if ring is not None:
                # The middle of a pixel stays in it however a reader rounds.
                parts = (ring + 0.5) / (photo.width, photo.height)
                lines.append(" ".join([str(classes.number(one.named)), *(f"{v:.7g}" for v in parts.ravel())]))
        path = dest / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        if how.copy and photo.path:
            copy_file(photo.path, dest / "images" / (name + Path(photo.file).suffix))
    names = {number: label for label, number in classes.numbers.items()}
    about = {"train": "images", "val": "images", "names": names}
    (dest / "data.yaml").write_text(yaml.safe_dump(about, sort_keys=False, allow_unicode=True), encoding="utf-8")


def one_polygon(one: Object) -> tuple[Ring | None, list[str]]:
    """One polygon for an object, through the centres of its rim's pixels, and notes of what it alters."""
    mask = one.mask
    pieces = along_centres(mask)
    if not pieces:
        return None, ["is empty; left out"]
    ring = one_ring(pieces)
    differ = int((filled([ring], mask.shape) ^ mask).sum())
    if not differ:
        return ring, []
    of = f"; it is of {len(pieces)} pieces, now joined" if len(pieces) > 1 else ""
    return ring, [f"its polygon differs from its mask in {differ} of {one.region.area:,} pixels{of}"]
