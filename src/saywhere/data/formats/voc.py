"""PASCAL VOC: two palette PNGs for an image, of classes and of objects, and an XML file with boxes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from saywhere.core.geometry import ImageSize
from saywhere.core.images import IMAGE_SUFFIXES
from saywhere.data.datasets.masks import Values, read_numbers
from saywhere.data.datasets.pascal import CLASSES, VOID, most_common_class
from saywhere.data.files import is_file, is_hidden, list_files, safe_name
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
from saywhere.data.formats.colours import Colour, is_coloured, read_colours, read_palette
from saywhere.data.formats.index_masks import IndexMap, draw_index_map, split_index_map, voc_palette, write_index_map
from saywhere.data.formats.names import UniqueNames, to_one_line
from saywhere.data.formats.voc_boxes import has_boxes, read_voc_boxes
from saywhere.data.formats.voc_xml import read_boxes, write_boxes
from saywhere.errors import SaywhereError

MAX_NUMBER = VOID - 1  # of a class, and of an object
VOID_COLOUR: Colour = (224, 224, 192)  # number 255 of VOC's palette
CLASS_NAMES = "class_names.txt"  # as LabelMe's labelme2voc writes it: a name a line, the background's among them
LABELMAP = "labelmap.txt"  # as CVAT and Datumaro have it: label:r,g,b:parts:actions


def read_voc(source: Path, images: Path | None) -> AnnotationSource:
    """The annotated images of a folder in VOC's layout.

    Maps of classes and of objects are of numbers (a palette, or grey), or in colour as CVAT and Datumaro write them.
    Boxes of the XML files whose object has no mask are read as boxes; else the maps say more than the XML. Where there
    are XML files and no maps at all, all objects are boxes; see :mod:`saywhere.data.formats.voc_boxes`.

    Args:
        source: the folder. Its images are those that the lists in ``ImageSets/Segmentation`` name, or without lists all
            that have a map. Its classes are those of ``labelmap.txt`` or ``class_names.txt``, or without these VOC's
            twenty.
        images: the folder of the images; by default ``JPEGImages``.

    Raises:
        SaywhereError: the folder is not in VOC's layout.
    """
    if not (source / "SegmentationObject").is_dir() and (source.is_file() or has_boxes(source)):
        return read_voc_boxes(source, images)
    lists = sorted(path for path in (source / "ImageSets" / "Segmentation").glob("*.txt") if not is_hidden(path))
    maps = source / "SegmentationObject"
    try:
        names = [name for path in lists for line in _lines(path) if (name := line.strip())]
    except (OSError, ValueError) as error:
        raise SaywhereError(
            f"source '{source}': its lists in ImageSets/Segmentation cannot be read ({error})"
        ) from error
    if not lists:
        names = [str(PurePosixPath(name).with_suffix("")) for name in list_files(maps, ".png")]
    if not names:
        raise SaywhereError(
            f"source '{source}': no photograph is listed; expected SegmentationObject, SegmentationClass and "
            "ImageSets/Segmentation"
        )
    classes = _read_classes(source)
    folder = images or source / "JPEGImages"
    readers = [partial(_read_image, source, name, classes, folder) for name in dict.fromkeys(names)]
    return AnnotationSource(readers, list(classes.labels.values()), classes.notes)


def _lines(path: Path) -> list[str]:
    """The lines of a text file, without a byte order mark. Only these line breaks count: names may have others."""
    return path.read_text(encoding="utf-8-sig").replace("\r\n", "\n").split("\n")


@dataclass(frozen=True)
class _Classes:
    """The classes of a folder.

    Attributes:
        labels: by class number, from 1; 0 is the background.
        colours: the class numbers of colours, the background's among them.
        notes: what is doubtful about them.
        is_ordered: whether the number of a pixel is that of a class, which it is when the background comes first.
    """

    labels: Mapping[int, str]
    colours: Mapping[Colour, int]
    notes: Sequence[str] = ()
    is_ordered: bool = True


def _read_classes(source: Path) -> _Classes:
    path = next((source / name for name in (LABELMAP, CLASS_NAMES) if (source / name).exists()), None)
    palette = {(r, g, b): number for number, (r, g, b) in enumerate(voc_palette().tolist())}
    if path is None:
        labels = dict(enumerate(CLASSES, start=1))
        return _Classes(labels, {colour: number for colour, number in palette.items() if number <= len(CLASSES)})
    try:
        lines = [line for line in _lines(path) if line.strip()]
    except (OSError, ValueError) as error:
        raise SaywhereError(f"labels '{path}': cannot be read ({error})") from error
    if path.name == CLASS_NAMES:
        names = [line.strip() for line in lines]
        colours = [colour for colour, _ in zip(palette, names, strict=False)]
    else:
        # The first line may be a comment; a label may begin with # as well.
        lines = lines[1:] if lines and lines[0].startswith("#") else lines
        names, colours = _read_labelmap(path, lines)
    return _number_classes(path, names, colours)


def _read_labelmap(path: Path, lines: list[str]) -> tuple[list[str], list[Colour]]:
    """The labels and colours of the lines of a labelmap; VOC's own colours where it has none."""
    names: list[str] = []
    colours: list[Colour] = []
    if len(lines) > 256:
        raise SaywhereError(f"labels '{path}': {len(lines)} labels; VOC has room for {MAX_NUMBER}")
    for number, (line, usual) in enumerate(zip(lines, voc_palette().tolist(), strict=False)):
        name, *rest = line.rsplit(":", 3)
        values = rest[0].split(",") if len(rest) == 3 else []
        try:
            colour = [int(value) for value in values] if "".join(values).strip() else usual
        except ValueError:
            colour = []
        if len(rest) < 3 or len(colour) != 3 or not all(0 <= value <= 255 for value in colour):
            raise SaywhereError(f"labels '{path}': expected lines such as cat:64,0,0:: (line {number + 1}: {line!r})")
        names.append(name)
        colours.append((colour[0], colour[1], colour[2]))
    return names, colours


def _number_classes(path: Path, names: list[str], colours: list[Colour]) -> _Classes:
    """Numbers for classes in the order of their lines, whichever line is the background's."""
    is_background = [name.strip("_ ").lower() == "background" for name in names]
    is_background = is_background if any(is_background) else [colour == (0, 0, 0) for colour in colours]
    if len(set(colours)) < len(colours):
        raise SaywhereError(f"labels '{path}': two labels have the same colour; give each one of its own")
    labels: dict[int, str] = {}
    numbers: dict[Colour, int] = {}
    for name, colour, background in zip(names, colours, is_background, strict=True):
        if not background:
            labels[len(labels) + 1] = name
        numbers[colour] = 0 if background else len(labels)
    if len(labels) > MAX_NUMBER:
        raise SaywhereError(f"labels '{path}': {len(labels)} labels; VOC has room for {MAX_NUMBER}")
    counts = Counter(labels.values())
    notes = [f"labels '{path}': {count} labels are named '{name}'; they become one class"
             for name, count in counts.items() if count > 1]  # fmt: skip
    return _Classes(labels, numbers, notes, not any(is_background[1:]))


def _read_classes_map(path: Path, classes: _Classes) -> IndexMap | Values:
    """The class number of each pixel, by its colour; or by its number, where the mask has no colours of classes.

    Raises:
        SaywhereError: it is no mask, or has a colour that is none of a class.
    """
    numbers = {(0, 0, 0): 0, VOID_COLOUR: VOID, **classes.colours}
    if is_coloured(path):
        indices, others = read_colours(path, numbers)
        if others:
            some = ", ".join(map(str, list(others.values())[:3]))
            raise SaywhereError(f"mask '{path}': colour {some} is that of no class; see {LABELMAP}")
        return indices
    values = read_palette(path, numbers)
    if values is not None:
        return values
    if not classes.is_ordered:
        raise SaywhereError(
            f"mask '{path}': has no colours of {LABELMAP}, whose background is not first; make it the first line"
        )
    return read_numbers(path)


def _read_image(source: Path, name: str, classes: _Classes, folder: Path) -> AnnotatedImage:
    name = safe_name(name)
    path = source / "SegmentationObject" / f"{name}.png"
    object_map = read_colours(path)[0] if is_coloured(path) else read_numbers(path)
    class_map = _read_classes_map(source / "SegmentationClass" / f"{name}.png", classes)
    if object_map.shape != class_map.shape:
        raise SaywhereError(f"mask '{path}': its size is not that of its map in SegmentationClass")
    objects = []
    regions = split_index_map(object_map)
    void = regions.pop(VOID, None)
    for number, region in regions.items():
        x, y, mask = region.cropped()
        class_number = most_common_class(class_map[y : y + mask.shape[0], x : x + mask.shape[1]][mask])
        if class_number not in classes.labels:
            raise SaywhereError(
                f"mask '{path}': object {number} is of class {class_number}; expected 1 to {len(classes.labels)}"
            )
        objects.append(ObjectAnnotation(region, classes.labels[class_number]))
    notes = [f"photograph '{name}': what is marked as void (255) is not kept"] if void is not None else []
    suffixes = [variant for suffix in IMAGE_SUFFIXES for variant in (suffix, suffix.upper())]
    suffix = next((suffix for suffix in suffixes if is_file(folder / f"{name}{suffix}")), ".jpg")
    size = ImageSize(*object_map.shape)
    boxes, more = read_boxes(source / "Annotations" / f"{name}.xml", objects)
    notes += [f"photograph '{name}': {note}" for note in more]
    image = AnnotatedImage(f"{name}{suffix}", size, tuple(objects), notes=tuple(notes), boxes=boxes)
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
    by_part: dict[str, list[str]] = {}
    not_jpeg: list[str] = []
    for image in images:
        name = unique.claim(image.file_name, notes)
        notes += note_default_labels(image) + note_lost_scores(image)
        by_part.setdefault(options.splits.get(image.file_name, "train"), []).append(name)
        if options.copy and not image.file_name.endswith(".jpg"):
            not_jpeg.append(image.file_name)
        _write_image(image, name, classes, dest, options, notes)
    if not_jpeg:
        notes.append(
            f"{len(not_jpeg):,} photographs keep their format, the first is '{not_jpeg[0]}'; some readers of VOC "
            "expect .jpg"
        )
    lists = {"trainval": [*by_part.get("train", []), *by_part.get("val", [])], "train": [], **by_part}
    for use in ("Segmentation", "Main"):
        for part, names in lists.items():
            path = dest / "ImageSets" / use / f"{part}.txt"
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
    if options.copy:
        image.copy_file(dest / "JPEGImages" / file_name)
    write_boxes(
        dest / "Annotations" / f"{name}.xml", file_name, image.size, [*(objects[i] for i in kept), *image.boxes]
    )
