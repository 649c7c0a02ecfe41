"""PASCAL VOC: two palette PNGs for a photograph, of classes and of objects, and an XML file with boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from saywhere.core.images import ENDINGS
from saywhere.data.datasets.masks import numbers
from saywhere.data.datasets.pascal import CLASSES, VOID, commonest
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    Classes,
    Object,
    Source,
    WriteOptions,
    find_image,
    without_label,
    without_score,
)
from saywhere.data.formats.index_masks import paint, palette, write_map
from saywhere.data.formats.names import Names, one_line, safe_name
from saywhere.errors import SaywhereError
from saywhere.storage.atomic import copy_file

MOST = VOID - 1
LABELS = "labelmap.txt"  # as CVAT and Datumaro have it: label:r,g,b:parts:actions


def read_voc(source: Path, photos: Path | None) -> Source:
    """The photographs that the lists in ``ImageSets/Segmentation`` name, or without lists all that have a map.

    Classes are those of ``labelmap.txt``, or without it VOC's twenty. SaywhereError when the folder is not VOC's.
    """
    lists = sorted((source / "ImageSets" / "Segmentation").glob("*.txt"))
    maps = source / "SegmentationObject"
    try:
        names = [line for path in lists for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise SaywhereError(
            f"source '{source}': its lists in ImageSets/Segmentation cannot be read ({error})"
        ) from error
    if not lists:
        names = sorted(path.relative_to(maps).with_suffix("").as_posix() for path in maps.rglob("*.png"))
    if not names:
        raise SaywhereError(
            f"source '{source}': no photograph is listed; expected SegmentationObject, SegmentationClass and "
            "ImageSets/Segmentation"
        )
    labels = _labels(source / LABELS)
    folder = photos or source / "JPEGImages"
    found = [partial(_photo, source, name, labels, folder) for name in dict.fromkeys(names)]
    return Source(found, list(labels.values()))


def _labels(path: Path) -> dict[int, str]:
    """The labels of class numbers."""
    if not path.exists():
        return dict(enumerate(CLASSES, start=1))
    try:
        lines = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
    except (OSError, ValueError) as error:
        raise SaywhereError(f"labels '{path}': cannot be read ({error})") from error
    # The first line may be a comment; a label may begin with # as well.
    lines = lines[1:] if lines and lines[0].startswith("#") else lines
    if any(line.count(":") < 3 for line in lines):
        raise SaywhereError(f"labels '{path}': expected lines such as cat:64,0,0::, the background's first")
    return {number: line.rsplit(":", 3)[0] for number, line in enumerate(lines) if number}


def _photo(source: Path, name: str, labels: Mapping[int, str], folder: Path) -> AnnotatedImage:
    name = safe_name(name)
    path = source / "SegmentationObject" / f"{name}.png"
    objects, kinds = numbers(path), numbers(source / "SegmentationClass" / f"{name}.png")
    if objects.shape != kinds.shape:
        raise SaywhereError(f"mask '{path}': its size is not that of its map in SegmentationClass")
    height, width = objects.shape
    found = []
    for number in np.unique(objects[(objects != 0) & (objects != VOID)]).tolist():
        inside = objects == number
        kind = commonest(kinds[inside])
        if kind not in labels:
            raise SaywhereError(f"mask '{path}': object {number} is of class {kind}; expected 1 to {len(labels)}")
        found.append(Object.of(inside, labels[kind]))
    rim = (f"photograph '{name}': what is marked as void (255) is not kept",) if (objects == VOID).any() else ()
    ending = next((e for e in _endings(folder, name) if (folder / f"{name}{e}").is_file()), ".jpg")
    file = f"{name}{ending}"
    return AnnotatedImage(file, width, height, tuple(found), find_image(folder, file, (width, height)), rim)


def _endings(folder: Path, name: str) -> list[str]:
    """The endings to look for, VOC's own first; capitals too."""
    return [".jpg", *sorted({e for ending in ENDINGS for e in (ending, ending.upper())})]


def write_voc(photos: Iterable[AnnotatedImage], dest: Path, how: WriteOptions, notes: list[str]) -> None:
    """Write a folder in VOC's layout: what is usually called VOCdevkit/VOC2012.

    VOC's own classes keep its numbers when all known labels are among them. Names and labels are put on one line.
    """
    known = [one_line(label) for label in how.labels]
    classes = Classes(CLASSES if known and set(known) <= set(CLASSES) else known, most=MOST)
    taken = Names()
    names: list[str] = []
    files: list[str] = []
    for photo in photos:
        name = taken.claim(photo.file, notes)
        notes += without_label(photo) + without_score(photo)
        names.append(name)
        files.append(photo.file)
        _write_photo(photo, name, classes, dest, how, notes)
    other = [file for file in files if how.copy and not file.endswith(".jpg")]
    if other:
        notes.append(
            f"{len(other):,} photographs keep their format, the first is '{other[0]}'; some readers of VOC expect .jpg"
        )
    for use in ("Segmentation", "Main"):
        for split in ("trainval", "train"):
            path = dest / "ImageSets" / use / f"{split}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    lines = [
        f"{label}:{','.join(map(str, palette()[i]))}::" for i, label in enumerate(["background", *classes.numbers])
    ]
    (dest / LABELS).write_text("\n".join(["# label:color_rgb:parts:actions", *lines, ""]), encoding="utf-8")


def _write_photo(
    photo: AnnotatedImage, name: str, classes: Classes, dest: Path, how: WriteOptions, notes: list[str]
) -> None:
    kinds: list[int | None] = []
    for one in photo.objects:
        label = one_line(one.named) or "object"
        if label != one.named:
            notes.append(f"photograph '{photo.file}': label {one.named!r} is written as {label!r}")
        kinds.append(classes.number(label))
    roomless = [one.named for one, kind in zip(photo.objects, kinds, strict=True) if kind is None]
    if roomless:
        notes.append(f"photograph '{photo.file}': objects {roomless} left out; there is room for {MOST} labels")
    held = [(one, kind) for one, kind in zip(photo.objects, kinds, strict=True) if kind is not None]
    reduced = AnnotatedImage(photo.file, photo.width, photo.height, tuple(one for one, _ in held))
    numbered, kept = paint(reduced, MOST, notes)
    of_class = np.array([0, *(held[i][1] for i in kept)], np.uint16)
    write_map(dest / "SegmentationObject" / f"{name}.png", numbered)
    write_map(dest / "SegmentationClass" / f"{name}.png", of_class[numbered])
    file = name + Path(photo.file).suffix
    if how.copy and photo.path:
        copy_file(photo.path, dest / "JPEGImages" / file)
    _write_xml(dest / "Annotations" / f"{name}.xml", file, photo, [reduced.objects[i] for i in kept])


def _write_xml(path: Path, file: str, photo: AnnotatedImage, objects: list[Object]) -> None:
    root = ElementTree.Element("annotation")
    _put(root, folder=path.parents[1].name, filename=file)
    _put(ElementTree.SubElement(root, "source"), database="saywhere")
    _put(ElementTree.SubElement(root, "size"), width=photo.width, height=photo.height, depth=3)
    _put(root, segmented=1)
    for one in objects:
        x, y, w, h = one.region.box
        entry = ElementTree.SubElement(root, "object")
        _put(entry, name=one_line(one.named) or "object", pose="Unspecified", truncated=0, difficult=0)
        # VOC counts pixels from 1, and its boxes include their last.
        _put(ElementTree.SubElement(entry, "bndbox"), xmin=x + 1, ymin=y + 1, xmax=x + w, ymax=y + h)
    ElementTree.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8"))


def _put(parent: ElementTree.Element, **values: object) -> None:
    for tag, value in values.items():
        ElementTree.SubElement(parent, tag).text = str(value)
