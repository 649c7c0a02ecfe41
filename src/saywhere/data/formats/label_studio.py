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

from saywhere.core.geometry import ImageSize
from saywhere.core.images import image_size
from saywhere.data.checks import check_size
from saywhere.data.files import check_file_name, find_image, is_file
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    BoxAnnotation,
    ObjectAnnotation,
    with_image_file,
)
from saywhere.data.formats.label_studio_regions import read_region
from saywhere.errors import SaywhereError

Task = dict[str, Any]
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
    """The image of a task; see :func:`find_task_image`."""
    addresses = [data.get("image"), *data.values()]
    address = next((each for each in addresses if isinstance(each, str) and each), None)
    return find_task_image(address, images, folder)


def find_task_image(address: object, images: Path | None, folder: Path) -> tuple[str, str | None]:
    """The file that a task's image address means, by the end of the address.

    Arguments, what is returned and errors as for :func:`saywhere.data.files.find_image`; the hexadecimal digits that
    Label Studio puts before the names of uploaded files may be missing.
    """
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
        given = value.get(kind) if isinstance(value, dict) else None
        several += isinstance(given, list) and len(given) > 1
        try:
            region = read_region(result, size)
        except SaywhereError as error:
            raise SaywhereError(f"region {number}: {error}") from error
        if isinstance(region, ObjectAnnotation):
            objects.append(region)
        elif region is None:
            skipped[kind] += 1
        else:
            boxes.append(region)
    notes = [f"{count} regions '{kind}' are not read; left out" for kind, count in skipped.items()]
    notes += [f"{several} regions have several labels; the first counts"] if several else []
    return tuple(objects), tuple(boxes), notes
