"""PASCAL VOC: two palette PNGs for an image, of classes and of objects, and an XML file with boxes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from saywhere.core.geometry import ImageSize
from saywhere.core.images import IMAGE_SUFFIXES
from saywhere.data.datasets.masks import read_numbers
from saywhere.data.datasets.pascal import CLASSES, VOID, most_common_class
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    ClassNumbers,
    ObjectAnnotation,
    WriteOptions,
    note_default_labels,
    note_lost_scores,
    with_image_file,
)
from saywhere.data.formats.index_masks import draw_index_map, voc_palette, write_index_map
from saywhere.data.formats.names import UniqueNames, safe_name, to_one_line
from saywhere.errors import SaywhereError
from saywhere.storage.atomic import copy_file

MAX_NUMBER = VOID - 1  # of a class, and of an object
LABELMAP = "labelmap.txt"  # as CVAT and Datumaro have it: label:r,g,b:parts:actions


def read_voc(source: Path, images: Path | None) -> AnnotationSource:
    """The annotated images of a folder in VOC's layout.

    Args:
        source: the folder. Its images are those that the lists in ``ImageSets/Segmentation`` name, or without lists all
            that have a map. Its classes are those of ``labelmap.txt``, or without it VOC's twenty.
        images: the folder of the images; by default ``JPEGImages``.

    Raises:
        SaywhereError: the folder is not in VOC's layout.
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
    labels = _read_labelmap(source / LABELMAP)
    folder = images or source / "JPEGImages"
    readers = [partial(_read_image, source, name, labels, folder) for name in dict.fromkeys(names)]
    return AnnotationSource(readers, list(labels.values()))


def _read_labelmap(path: Path) -> dict[int, str]:
    """The labels by class number."""
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


def _read_image(source: Path, name: str, labels: Mapping[int, str], folder: Path) -> AnnotatedImage:
    name = safe_name(name)
    path = source / "SegmentationObject" / f"{name}.png"
    object_map, class_map = read_numbers(path), read_numbers(source / "SegmentationClass" / f"{name}.png")
    if object_map.shape != class_map.shape:
        raise SaywhereError(f"mask '{path}': its size is not that of its map in SegmentationClass")
    objects = []
    for number in np.unique(object_map[(object_map != 0) & (object_map != VOID)]).tolist():
        mask = object_map == number
        class_number = most_common_class(class_map[mask])
        if class_number not in labels:
            raise SaywhereError(
                f"mask '{path}': object {number} is of class {class_number}; expected 1 to {len(labels)}"
            )
        objects.append(ObjectAnnotation.from_mask(mask, labels[class_number]))
    has_void = (object_map == VOID).any()
    notes = (f"photograph '{name}': what is marked as void (255) is not kept",) if has_void else ()
    suffixes = [variant for suffix in IMAGE_SUFFIXES for variant in (suffix, suffix.upper())]
    suffix = next((suffix for suffix in suffixes if (folder / f"{name}{suffix}").is_file()), ".jpg")
    image = AnnotatedImage(f"{name}{suffix}", ImageSize(*object_map.shape), tuple(objects), notes=notes)
    return with_image_file(image, folder)


def write_voc(images: Iterable[AnnotatedImage], dest: Path, options: WriteOptions, notes: list[str]) -> None:
    """Write a folder in VOC's layout: what is usually called VOCdevkit/VOC2012.

    VOC's own classes keep its numbers when all labels that are known beforehand are among them. Names and labels are
    put on one line.
    """
    labels = [to_one_line(label) for label in options.labels]
    is_voc = bool(labels) and set(labels) <= set(CLASSES)
    classes = ClassNumbers(CLASSES if is_voc else labels, maximum=MAX_NUMBER)
    unique = UniqueNames()
    names: list[str] = []
    not_jpeg: list[str] = []
    for image in images:
        name = unique.claim(image.file_name, notes)
        notes += note_default_labels(image) + note_lost_scores(image)
        names.append(name)
        if options.copy and not image.file_name.endswith(".jpg"):
            not_jpeg.append(image.file_name)
        _write_image(image, name, classes, dest, options, notes)
    if not_jpeg:
        notes.append(
            f"{len(not_jpeg):,} photographs keep their format, the first is '{not_jpeg[0]}'; some readers of VOC "
            "expect .jpg"
        )
    for use in ("Segmentation", "Main"):
        for split in ("trainval", "train"):
            path = dest / "ImageSets" / use / f"{split}.txt"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")
    colours = voc_palette()
    lines = [
        f"{label}:{','.join(map(str, colours[number]))}::"
        for number, label in enumerate(["background", *classes.numbers])
    ]
    (dest / LABELMAP).write_text("\n".join(["# label:color_rgb:parts:actions", *lines, ""]), encoding="utf-8")


def _write_image(
    image: AnnotatedImage, name: str, classes: ClassNumbers, dest: Path, options: WriteOptions, notes: list[str]
) -> None:
    what = f"photograph '{image.file_name}'"
    objects: list[ObjectAnnotation] = []
    class_numbers: list[int] = []
    no_room: list[str] = []
    for each in image.objects:
        label = to_one_line(each.class_name) or "object"
        if label != each.class_name:
            notes.append(f"{what}: label {each.class_name!r} is written as {label!r}")
        number = classes.number(label)
        if number is None:
            no_room.append(each.class_name)
        else:
            objects.append(each)
            class_numbers.append(number)
    if no_room:
        notes.append(f"{what}: objects {no_room} left out; there is room for {MAX_NUMBER} labels")
    object_map, kept = draw_index_map(replace(image, objects=tuple(objects)), MAX_NUMBER, notes)
    class_of_object = np.array([0, *(class_numbers[i] for i in kept)], np.uint16)
    write_index_map(dest / "SegmentationObject" / f"{name}.png", object_map)
    write_index_map(dest / "SegmentationClass" / f"{name}.png", class_of_object[object_map])
    file_name = name + Path(image.file_name).suffix
    if options.copy and image.path:
        copy_file(image.path, dest / "JPEGImages" / file_name)
    _write_xml(dest / "Annotations" / f"{name}.xml", file_name, image.size, [objects[i] for i in kept])


def _write_xml(path: Path, file_name: str, size: ImageSize, objects: list[ObjectAnnotation]) -> None:
    root = ElementTree.Element("annotation")
    _add(root, folder=path.parents[1].name, filename=file_name)
    _add(ElementTree.SubElement(root, "source"), database="saywhere")
    _add(ElementTree.SubElement(root, "size"), width=size.width, height=size.height, depth=3)
    _add(root, segmented=1)
    for each in objects:
        x, y, w, h = each.region.box
        entry = ElementTree.SubElement(root, "object")
        _add(entry, name=to_one_line(each.class_name) or "object", pose="Unspecified", truncated=0, difficult=0)
        # VOC counts pixels from 1, and its boxes include their last.
        _add(ElementTree.SubElement(entry, "bndbox"), xmin=x + 1, ymin=y + 1, xmax=x + w, ymax=y + h)
    ElementTree.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8"))


def _add(parent: ElementTree.Element, **values: object) -> None:
    """Add an element with a text for each value."""
    for tag, value in values.items():
        ElementTree.SubElement(parent, tag).text = str(value)
