"""Label Studio's own JSON: a list of tasks, each with the annotations of an image. It is only read.

Format: https://labelstud.io/guide/export#Label-Studio-JSON-format-of-annotated-tasks
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saywhere.core.geometry import ImageSize
from saywhere.core.images import image_size
from saywhere.core.rle import RunLengths
from saywhere.data.checks import check_label, check_score, check_size
from saywhere.data.files import check_file_name, find_image, is_file
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    BoxAnnotation,
    ObjectAnnotation,
    with_image_file,
)
from saywhere.errors import SaywhereError

Task = dict[str, Any]
MAX_BRUSH_RUNS = 2_000_000
_UPLOAD = re.compile("^[0-9a-f]{8}-")  # what it puts before the names of files that were uploaded
_QUERY = re.compile(r"^.*\?d=")  # of files that it reads from a folder


def read_label_studio(source: Path, images: Path | None) -> AnnotationSource:
    """The annotated images of a JSON export of Label Studio.

    Polygons and brushed masks are objects, rectangles are boxes. Of several annotations of a task the first that was
    not cancelled counts.

    Args:
        source: the file.
        images: the folder of the images, in which the ends of their addresses are looked for; by default that of the
            file.

    Raises:
        SaywhereError: it is not such a file.
    """
    try:
        tasks = json.loads(source.read_bytes())
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise SaywhereError(f"file '{source}': cannot be read as JSON ({error})") from error
    if not isinstance(tasks, list) or not all(
        isinstance(task, dict) and isinstance(task.get("data"), dict) and isinstance(task.get("annotations"), list)
        for task in tasks
    ):
        raise SaywhereError(
            f"file '{source}': not the JSON of Label Studio, a list of tasks with data and annotations; export it as "
            "JSON, not as JSON-MIN"
        )
    return AnnotationSource([partial(_read_task, task, source, images) for task in tasks])


def _read_task(task: Task, source: Path, images: Path | None) -> AnnotatedImage:
    what = f"file '{source}', task {task.get('id')}"
    try:
        file_name, renamed = _find_file(task["data"], images, source.parent)
        done = [each for each in task["annotations"] if isinstance(each, dict) and not each.get("was_cancelled")]
        results = done[0].get("result") if done else []
        if not isinstance(results, list) or not all(isinstance(result, dict) for result in results):
            raise SaywhereError("result: expected a list of regions")
        size = _size_of(results, (images or source.parent) / file_name)
        objects, boxes, notes = _read_results(results, size)
        if len(done) > 1:
            notes.append(f"{len(done) - 1} further annotations left out; the first counts")
        notes = [f"photograph '{file_name}': {note}" for note in [*([renamed] if renamed else []), *notes]]
        image = AnnotatedImage(file_name, size, objects, notes=tuple(notes), boxes=boxes)
        return with_image_file(image, images or source.parent)
    except SaywhereError as error:
        raise SaywhereError(f"{what}: {error}") from error
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise SaywhereError(f"{what}: lacks or misnames something ({error}); see Label Studio's format") from error


def _find_file(data: Task, images: Path | None, folder: Path) -> tuple[str, str | None]:
    """The image of a task, by the end of its address; see :func:`find_image`."""
    addresses = [data.get("image"), *data.values()]
    address = next((each for each in addresses if isinstance(each, str) and each), None)
    name = _QUERY.sub("", check_file_name(address))
    last = name.split("/")[-1]
    place = images or folder
    plain = _UPLOAD.sub("", last)
    if plain != last and not is_file(place / last) and is_file(place / plain):
        return plain, f"is named '{last}'; taken for '{plain}' in '{place}'"
    return find_image(name, images, folder)


def _size_of(results: list[Task], path: Path) -> ImageSize:
    """The size that the regions give; without a region that of the image."""
    sizes = {
        check_size(each["original_width"], each["original_height"]) for each in results if "original_width" in each
    }
    if len(sizes) > 1:
        raise SaywhereError(f"regions of images of several sizes, {sorted(map(tuple, sizes))}")
    return sizes.pop() if sizes else image_size(path)


def _read_results(
    results: list[Task], size: ImageSize
) -> tuple[tuple[ObjectAnnotation, ...], tuple[BoxAnnotation, ...], list[str]]:
    objects: list[ObjectAnnotation] = []
    boxes: list[BoxAnnotation] = []
    skipped: Counter[str] = Counter()
    several = 0
    for number, result in enumerate(results, 1):
        value, kind = result.get("value"), str(result.get("type"))
        if not isinstance(value, dict):
            skipped[kind] += 1
            continue
        given = value.get(kind)
        labels = given if isinstance(given, list) else []
        several += len(labels) > 1
        about = (check_label(labels[0]) if labels else None, check_score(result.get("score")), None)
        try:
            if kind in ("polygonlabels", "polygon"):
                objects.append(ObjectAnnotation(_polygon(value, size), *about))
            elif kind in ("brushlabels", "brush") and value.get("format") == "rle":
                objects.append(ObjectAnnotation(_brush(value.get("rle"), size), *about))
            elif kind in ("rectanglelabels", "rectangle") and not value.get("rotation"):
                boxes.append(BoxAnnotation(_rectangle(value, size), *about))
            else:
                skipped[kind] += 1
        except SaywhereError as error:
            raise SaywhereError(f"region {number}: {error}") from error
    notes = [f"{count} regions '{kind}' are not read; left out" for kind, count in skipped.items()]
    notes += [f"{several} regions have several labels; the first counts"] if several else []
    return tuple(objects), tuple(boxes), notes


def _polygon(value: Task, size: ImageSize) -> RunLengths:
    """Points are in percent of the image."""
    points = np.array(value["points"], np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise SaywhereError("points: expected [[x, y], ...] in percent")
    return RunLengths.from_polygons([(points * (size.width / 100.0, size.height / 100.0)).ravel().tolist()], size)


def _rectangle(value: Task, size: ImageSize) -> tuple[float, float, float, float]:
    x, y, w, h = (float(value[key]) for key in ("x", "y", "width", "height"))
    if not all(abs(part) <= 1000.0 for part in (x, y, w, h)) or w <= 0 or h <= 0:
        raise SaywhereError("rectangle: expected x, y, width and height in percent")
    return (
        x * size.width / 100.0, y * size.height / 100.0, w * size.width / 100.0, h * size.height / 100.0
    )  # fmt: skip


def _brush(given: object, size: ImageSize) -> RunLengths:
    """The pixels of a brushed mask.

    Its run lengths are bits: how many values there are (four for a pixel, of which the last is its opacity), how many
    bits a value has, how many the lengths of runs have; and then runs of one value, and lists of values
    (``decode_rle`` in Label Studio's converter).
    """
    if not isinstance(given, list) or not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in given):
        raise SaywhereError("rle: expected a list of bytes")
    bits = _Bits(np.unpackbits(np.array(given, np.uint8)))
    count, word = bits.take(32), bits.take(5) + 1
    if count != 4 * size.height * size.width:
        raise SaywhereError(f"rle of {count:,} values; expected {4 * size.height * size.width:,}, four for each pixel")
    widths = [bits.take(4) + 1 for _ in range(4)]
    mask = np.zeros(size.height * size.width, np.bool_)
    position = runs = 0
    while position < count:
        is_run = bits.take(1)
        length = 1 + bits.take(widths[bits.take(2)])
        end = min(position + length, count)
        runs += 1 if is_run else length
        if runs > MAX_BRUSH_RUNS:
            raise SaywhereError(f"rle of more than {MAX_BRUSH_RUNS:,} runs; simplify the mask")
        if is_run:
            # Opacity is the last of four values: those of a run at 3, 7, 11 ... are of the pixels that end in it.
            mask[position // 4 : end // 4] = bits.take(word) > 0
        else:
            for place in range(position, end):
                value = bits.take(word)
                if place % 4 == 3:
                    mask[place // 4] = value > 0
        position = end
    return RunLengths.from_mask(mask.reshape(size))


class _Bits:
    """Reads whole numbers from bits."""

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self._text = bits.tobytes().translate(bytes.maketrans(b"\x00\x01", b"01")).decode("ascii")
        self._position = 0

    def take(self, count: int) -> int:
        """The next number of this many bits. SaywhereError when there are no more."""
        part = self._text[self._position : self._position + count]
        if len(part) < count:
            raise SaywhereError("rle: ends early")
        self._position += count
        return int(part, 2)
