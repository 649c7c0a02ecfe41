"""The XML files of PASCAL VOC, which have the boxes of the objects of an image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from saywhere.core.geometry import ImageSize
from saywhere.core.rle import MAX_COORDINATE
from saywhere.data.files import is_file
from saywhere.data.formats.annotated_image import BoxAnnotation, ObjectAnnotation
from saywhere.data.formats.names import to_one_line

MAX_BYTES = 10_000_000  # of a file
Rectangle = tuple[float, float, float, float]
"""x, y, width and height, in pixels."""
CORNERS = ("xmin", "ymin", "xmax", "ymax")


def read_boxes(path: Path, objects: Sequence[ObjectAnnotation]) -> tuple[tuple[BoxAnnotation, ...], list[str]]:
    """The boxes of an XML file that are of no object with a mask.

    Args:
        path: the file. Without it there is no box.
        objects: the objects of the image that have masks.

    Returns:
        The boxes, and notes of what could not be read.
    """
    if not is_file(path):
        return (), []
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES:,} bytes")
        entries = ElementTree.fromstring(path.read_bytes()).findall("object")
    except (OSError, ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        return (), [f"'{path}' cannot be read as VOC's XML ({' '.join(str(error).split())}); its boxes are left out"]
    by_label: dict[str | None, list[Rectangle]] = defaultdict(list)
    damaged = 0
    for entry in entries:
        label, box = (entry.findtext("name") or "").strip() or None, _read_box(entry)
        if box is None:
            damaged += 1
        else:
            by_label[label].append(box)
    boxes: list[BoxAnnotation] = []
    for label, some in by_label.items():
        masked = [_box_of(each) for each in objects if each.class_name == label]
        # As many boxes as there are masks belong to these: those that lie best on one.
        some.sort(key=lambda box: -max((_iou(box, other) for other in masked), default=0.0))
        boxes += [BoxAnnotation(box, label) for box in some[len(masked) :]]
    return tuple(boxes), [f"{damaged} objects of '{path}' have no box; left out"] if damaged else []


def _read_box(entry: ElementTree.Element) -> Rectangle | None:
    """x, y, width and height of an object; None when it has no box."""
    try:
        x0, y0, x1, y1 = (float(entry.findtext(f"bndbox/{name}") or "nan") for name in CORNERS)
    except ValueError:
        return None
    if not all(abs(value) <= MAX_COORDINATE for value in (x0, y0, x1, y1)) or x1 < x0 or y1 < y0:
        return None
    # VOC counts pixels from 1, and its boxes include their last.
    return x0 - 1.0, y0 - 1.0, x1 - x0 + 1.0, y1 - y0 + 1.0


def _box_of(each: ObjectAnnotation | BoxAnnotation) -> Rectangle:
    return each.box if isinstance(each, BoxAnnotation) else each.region.box


def _iou(a: Rectangle, b: Rectangle) -> float:
    """The IoU of two boxes: x, y, width, height."""
    w = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    h = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    shared = max(w, 0.0) * max(h, 0.0)
    return shared / (a[2] * a[3] + b[2] * b[3] - shared or 1.0)


def write_boxes(
    path: Path, file_name: str, size: ImageSize, objects: Sequence[ObjectAnnotation | BoxAnnotation]
) -> None:
    """Write the XML file of an image: its size, and the label and the box of each object."""
    root = ElementTree.Element("annotation")
    _add(root, folder=path.parents[1].name, filename=file_name)
    _add(ElementTree.SubElement(root, "source"), database="saywhere")
    _add(ElementTree.SubElement(root, "size"), width=size.width, height=size.height, depth=3)
    _add(root, segmented=1)
    for each in objects:
        x, y, w, h = _box_of(each)
        entry = ElementTree.SubElement(root, "object")
        _add(entry, name=to_one_line(each.class_name) or "object", pose="Unspecified", truncated=0, difficult=0)
        # VOC counts pixels from 1, and its boxes include their last.
        corners = dict(zip(CORNERS, (x + 1, y + 1, x + w, y + h), strict=True))
        _add(ElementTree.SubElement(entry, "bndbox"), **{name: f"{value:.10g}" for name, value in corners.items()})
    ElementTree.indent(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(ElementTree.tostring(root, encoding="utf-8"))


def _add(parent: ElementTree.Element, **values: object) -> None:
    """Add an element with a text for each value."""
    for tag, value in values.items():
        ElementTree.SubElement(parent, tag).text = str(value)
