"""YOLO for segmentation, as Ultralytics reads it: a text file of polygons for each image, and data.yaml."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from saywhere.core.geometry import ImageSize
from saywhere.core.images import read_header
from saywhere.core.polygons import (
    Ring,
    fill_polygons,
    filled_region,
    join_pieces,
    polygons_through_pixel_centres,
)
from saywhere.data.checks import check_label
from saywhere.data.files import is_file, is_hidden, list_files, list_images
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    BoxAnnotation,
    ClassNumbers,
    ObjectAnnotation,
    WriteOptions,
    note_default_labels,
    note_lost_scores,
)
from saywhere.data.formats.names import UniqueNames
from saywhere.errors import SaywhereError

CLASSES = "classes.txt"
MAX_YAML_BYTES = 10_000_000
TOLERANCE = 0.01  # how far outside [0, 1] a coordinate may be, as in Ultralytics


class _TextLoader(yaml.SafeLoader):
    """Takes every value as its text: a class may be called 1, no or null."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - as the base class has it


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
        source: the folder of ``data.yaml`` (or ``classes.txt``), of which only the names are read: paths in it are not
            followed. The images are those in every folder ``images`` below it, the text files those in ``labels`` that
            match.
        images: the folder of the images, when they are not in ``source``.

    Raises:
        SaywhereError: there is no ``data.yaml``, or no image for a text file.
    """
    classes, by_stem = read_tables(source)
    tables = {f"{stem}.txt": path for stem, path in by_stem.items()}
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
        partial(read_table, name, path, tables.get(f"{_stem(name)}.txt"), classes) for name, path in image_paths.items()
    ]
    counts = Counter(classes.values())
    notes = [f"source '{source}': {count} classes are named '{name}'; they become one"
             for name, count in counts.items() if count > 1]  # fmt: skip
    without = sum(f"{stem}.txt" not in tables for stem in stems)
    if without and tables:
        notes.append(f"source '{source}': {without:,} photographs have no text file in labels/: they have no objects")
    return AnnotationSource(readers, [classes[number] for number in sorted(classes)], notes)


def read_tables(source: Path) -> tuple[dict[int, str], dict[str, Path]]:
    """The class names by number; and the text files in every folder ``labels``, by their names without suffix there.

    Args:
        source: the folder of ``data.yaml``, or of ``classes.txt``.

    Raises:
        SaywhereError: there is neither.
    """
    tables = {
        _stem(_without_folder(name, "labels")): source / name
        for name in list_files(source, ".txt")
        if "labels" in PurePosixPath(name).parts[:-1]
    }
    return _read_names(source), tables


def _stem(name: str) -> str:
    """A path without its suffix."""
    return str(PurePosixPath(name).with_suffix(""))


def _without_folder(name: str, folder: str) -> str:
    """A path without the last of its folders of this name: what ``images`` and ``labels`` have in common."""
    parts = list(PurePosixPath(name).parts)
    del parts[len(parts) - 1 - parts[::-1].index(folder)]
    return "/".join(parts)


def _read_names(source: Path) -> dict[int, str]:
    """The labels by class number, from ``data.yaml``, or from ``classes.txt`` as Label Studio writes it."""
    some = (path for path in (source / "data.yaml", *sorted(source.glob("*.y*ml"))) if not is_hidden(path))
    path = next((path for path in (*some, source / CLASSES) if is_file(path)), None)
    if path is None:
        raise SaywhereError(f"source '{source}': no data.yaml; it names the classes")
    try:
        if path.stat().st_size > MAX_YAML_BYTES:
            raise ValueError(f"larger than {MAX_YAML_BYTES:,} bytes")
        text = path.read_text(encoding="utf-8-sig")
        if path.name == CLASSES:
            return {number: check_label(name) or str(number) for number, name in enumerate(text.splitlines())}
        content = yaml.load(text, _TextLoader)
        names = content["names"]
        if "kpt_shape" in content:
            raise ValueError("it is of key points (kpt_shape), which have no masks")
        if not isinstance(names, (dict, list)):
            raise TypeError(f"names is {str(names)[:60]!r}")
        pairs = names.items() if isinstance(names, dict) else enumerate(names)
        classes = {_class_number(number): _class_name(name, number) for number, name in pairs}
        if len(classes) < len(names):
            raise ValueError("two classes have one number")
        return classes
    except (OSError, ValueError, TypeError, KeyError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())[:300]
        raise SaywhereError(f"'{path}': expected names, a list of classes ({reason})") from error


def _class_number(given: object) -> int:
    text = str(given)
    if not text.isdecimal() or len(text) > 9:
        raise ValueError(f"class {text[:20]!r} is no number")
    return int(text)


def _class_name(given: object, number: object) -> str:
    if not isinstance(given, str):
        raise TypeError(f"the name of class {number} is no text")
    return check_label(given) or str(number)


def read_table(file_name: str, path: Path, table: Path | None, labels: Mapping[int, str]) -> AnnotatedImage:
    """The annotations of one image.

    Args:
        file_name: the image's name.
        path: its file, whose size is needed.
        table: its text file; None: it has no object.
        labels: class names by number.

    Raises:
        SaywhereError: the image or the text file cannot be used.
    """
    header = read_header(path)
    objects: list[ObjectAnnotation] = []
    boxes: list[BoxAnnotation] = []
    try:
        lines = table.read_text(encoding="utf-8-sig").splitlines() if table else []
    except (OSError, ValueError) as error:
        raise SaywhereError(f"'{table}': cannot be read ({error})") from error
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            row = _read_row(line.split(), labels, header.size)
        except SaywhereError as error:
            raise SaywhereError(f"'{table}', line {number}: {error}") from error
        if isinstance(row, BoxAnnotation):
            boxes.append(row)
        else:
            objects.append(row)
    return AnnotatedImage(file_name, header.size, tuple(objects), path, is_turned=header.is_turned, boxes=tuple(boxes))


def _read_row(fields: list[str], labels: Mapping[int, str], size: ImageSize) -> ObjectAnnotation | BoxAnnotation:
    """The object of one line, whose x, y are shares of width and height.

    A line is a class and a polygon, or a class and the centre, width and height of a box; where Ultralytics saves what
    a network finds, its confidence follows.
    """
    try:
        values = np.array([float(field) for field in fields[1:]])
    except ValueError:
        values = np.array([np.nan])
    is_box = len(values) in (4, 5)
    score = float(values[-1]) if len(values) % 2 and np.isfinite(values[-1]) else None
    shares = values[:-1] if score is not None else values
    if (
        (not is_box and len(shares) < 6)
        or not np.isfinite(values).all()
        or (score is not None and not 0.0 <= score <= 1.0)
        or (is_box and not (shares[2:] > 0).all())
    ):
        raise SaywhereError("expected a class and then x, y of three points or more, or a box")
    if shares.min() < -TOLERANCE or shares.max() > 1.0 + TOLERANCE:
        raise SaywhereError(f"x, y from {shares.min():g} to {shares.max():g}; expected parts of the size, 0 to 1")
    number = _whole(fields[0])
    if number not in labels:
        raise SaywhereError(f"class {fields[0][:20]}: not in data.yaml, which has {len(labels)} classes")
    height, width = size
    if is_box:
        x, y, w, h = (shares * (width, height, width, height)).tolist()
        return BoxAnnotation((x - w / 2.0, y - h / 2.0, w, h), labels[number], score)
    ring = np.clip(shares.reshape(-1, 2) * (width, height), 0, (width - 1, height - 1))
    return ObjectAnnotation(filled_region(ring, size), labels[number], score)


def _whole(text: str) -> int:
    """A class number, which some programs write as 0.0; -1 when it is none."""
    try:
        value = float(text)
    except ValueError:
        return -1
    return int(value) if value.is_integer() and abs(value) < 1e9 else -1


def write_yolo(images: Iterable[AnnotatedImage], dest: Path, options: WriteOptions, notes: list[str]) -> None:
    """Write ``images``, ``labels`` and ``data.yaml``.

    With ``options.splits`` both folders have one for each part; else all images are for training and validation.
    A line holds one polygon: holes are joined to their outline, further pieces to the nearest, by thin cuts.
    """
    classes, unique = ClassNumbers(options.labels, first=0), UniqueNames()
    (dest / "images").mkdir(parents=True)
    boxes: list[tuple[Path, str, list[str]]] = []
    polygons = 0
    for image in images:
        name = unique.claim(image.file_name, notes)
        part = options.splits.get(image.file_name)
        name = name if part is None else f"{part}/{name}"
        notes += note_default_labels(image) + note_lost_scores(image)
        lines = []
        for each in image.objects:
            ring, lost = to_one_polygon(each, options.tolerance)
            notes += [f"photograph '{image.file_name}', object {each.class_name!r}: {note}" for note in lost]
            if ring is not None:
                # The middle of a pixel stays in it however a reader rounds.
                shares = (ring + 0.5) / (image.size.width, image.size.height)
                lines.append(_line(classes.number(each.class_name), shares))
        path = dest / "labels" / f"{name}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(lines), encoding="utf-8")
        polygons += len(lines)
        if image.boxes:
            rows = [_line(classes.number(each.class_name), _box_shares(each, image.size)) for each in image.boxes]
            boxes.append((path, image.file_name, rows))
        if options.copy:
            image.copy_file(dest / "images" / (name + PurePosixPath(image.file_name).suffix))
    _add_boxes(boxes, polygons, notes)
    names = {number: label if label.isprintable() else _Quoted(label) for label, number in classes.numbers.items()}
    content = {**_folders(options.splits, notes), "names": names}
    text = yaml.dump(content, Dumper=_Dumper, sort_keys=False, allow_unicode=True)
    (dest / "data.yaml").write_text(text, encoding="utf-8")


def _folders(splits: Mapping[str, str], notes: list[str]) -> dict[str, str]:
    """Where data.yaml says that the images of each part are; a folder that it names exists."""
    parts = set(splits.values())
    if not parts:
        return {"train": "images", "val": "images"}
    folders: dict[str, str] = {part: f"images/{part}" for part in ("train", "val", "test") if part in parts}
    if "val" not in parts:
        notes.append("data.yaml: there is no validation part, which Ultralytics asks for; val names training images")
    return {"train": folders["train"], "val": folders.get("val", folders["train"]), **folders}


def _line(number: int | None, shares: NDArray[np.float64]) -> str:
    return " ".join([str(number), *(f"{value:.7g}" for value in shares.ravel())]) + "\n"


def _box_shares(each: BoxAnnotation, size: ImageSize) -> NDArray[np.float64]:
    """The centre, width and height of a box, as shares of the image's width and height."""
    x, y, w, h = each.box
    return np.array([x + w / 2.0, y + h / 2.0, w, h]) / (size.width, size.height, size.width, size.height)


def _add_boxes(boxes: list[tuple[Path, str, list[str]]], polygons: int, notes: list[str]) -> None:
    """Add boxes to a dataset that has no polygon at all.

    Ultralytics reads a dataset as one of boxes or as one of polygons: where both are, it drops all polygons.

    Args:
        boxes: the text file, the image's name and the lines of boxes, of each image that has some.
        polygons: how many polygons were written.
        notes: gets a line for each image whose boxes are left out.
    """
    for path, file_name, rows in boxes:
        if polygons:
            notes.append(
                f"photograph '{file_name}': {len(rows)} boxes without a mask left out; YOLO has boxes or polygons, not "
                "both"
            )
        else:
            path.write_text("".join(rows), encoding="utf-8")


def to_one_polygon(each: ObjectAnnotation, tolerance: float = 0.0) -> tuple[Ring | None, list[str]]:
    """One polygon for an object, through the centres of its border pixels.

    Args:
        each: the object.
        tolerance: how far the simplified polygon may be from the outline, in pixels; 0 keeps every vertex.

    Returns:
        The polygon, None for an empty object; and notes of what it alters.
    """
    left, top, mask = each.region.cropped()
    pieces = polygons_through_pixel_centres(mask, tolerance)
    if not pieces:
        return None, ["is empty; left out"]
    ring = join_pieces(pieces)
    differ = int((fill_polygons([ring], ImageSize(*mask.shape)) ^ mask).sum())
    ring = np.add(ring, (left, top))
    if not differ:
        return ring, []
    joined = f"; it is of {len(pieces)} pieces, now joined" if len(pieces) > 1 else ""
    return ring, [f"its polygon differs from its mask in {differ} of {each.region.area:,} pixels{joined}"]
