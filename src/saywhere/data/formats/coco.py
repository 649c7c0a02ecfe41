"""COCO JSON: run lengths, which hold any mask as it is, or polygons."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import numpy as np

from saywhere import __version__
from saywhere.core.geometry import ImageSize
from saywhere.core.polygons import polygons_along_pixel_edges
from saywhere.core.rle import RunLengths
from saywhere.data.checks import check_label, check_score
from saywhere.data.coco import (
    Entry,
    Id,
    annotation_name,
    class_name_of,
    file_name_of,
    is_crowd,
    measures_of,
    only_box,
    read_coco_file,
    region_of,
    size_of,
)
from saywhere.data.files import find_image
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    BoxAnnotation,
    ClassNumbers,
    ObjectAnnotation,
    WriteOptions,
    note_default_labels,
    with_image_file,
)
from saywhere.data.formats.losses import only_json
from saywhere.errors import SaywhereError

IMAGE_KEYS = {"id", "file_name", "width", "height"}
ANNOTATION_KEYS = {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "score", "author"}
MAX_POLYGON_PIXELS = 40_000_000  # of the box around an object that is written as polygons: they take 10 bytes for each
INFO = {"description": "converted by saywhere", "version": __version__}


def read_coco(source: Path, images: Path | None) -> AnnotationSource:
    """The annotated images of a COCO JSON file. All of its text is held in memory.

    Args:
        source: the file.
        images: the folder of the images; by default that of the file.

    Raises:
        SaywhereError: it is not COCO JSON, or an entry belongs to no image.
    """
    file = read_coco_file(source)
    file.raise_faults()
    names = file.class_names()
    by_image: dict[Id, list[Entry]] = defaultdict(list)
    for annotation in file.annotations:
        by_image[annotation["image_id"]].append(annotation)
    readers = [
        partial(_read_image, image, by_image[key], names, images, source.parent) for key, image in file.images.items()
    ]
    extra = {**file.others, **({"licenses": list(file.licenses)} if file.licenses else {})}
    kept, notes = only_json(extra, f"source '{source}': ")
    labels = [name for name in names.values() if name]
    return AnnotationSource(
        readers, labels, [*file.shared_names(), *notes], categories=list(file.categories.values()), extra=kept
    )


def _read_image(
    image: Entry, annotations: list[Entry], class_names: Mapping[Id, str | None], images: Path | None, folder: Path
) -> AnnotatedImage:
    try:
        file_name, renamed = find_image(file_name_of(image), images, folder)
        size = size_of(image)
    except SaywhereError as error:
        raise SaywhereError(f"image {image['id']}: {error}") from error
    what = f"photograph '{file_name}'"
    objects: list[ObjectAnnotation] = []
    boxes: list[BoxAnnotation] = []
    notes = [f"{what}: {renamed}"] if renamed else []
    for annotation in annotations:
        each, lost = _read_annotation(annotation, class_names, size)
        notes += [f"{what}: {note}" for note in lost]
        if isinstance(each, BoxAnnotation):
            boxes.append(each)
        else:
            objects.append(each)
    extra, lost = only_json({key: value for key, value in image.items() if key not in IMAGE_KEYS}, f"{what}: ")
    read = AnnotatedImage(
        file_name, size, tuple(objects), notes=(*notes, *lost), boxes=tuple(boxes), id=image["id"], extra=extra
    )
    return with_image_file(read, images or folder)


def _read_annotation(
    annotation: Entry, class_names: Mapping[Id, str | None], size: ImageSize
) -> tuple[ObjectAnnotation | BoxAnnotation, list[str]]:
    """An object, or a box where the annotation has no mask; and notes of what of it could not be read."""
    name = annotation_name(annotation)
    try:
        label = class_name_of(annotation, class_names)
        score, author = check_score(annotation.get("score")), check_label(annotation.get("author"))
        box = only_box(annotation)
        region = region_of(annotation, size) if box is None else None
    except SaywhereError as error:
        raise SaywhereError(f"{name}: {error}") from error
    extra, notes = only_json(
        {key: value for key, value in annotation.items() if key not in ANNOTATION_KEYS}, f"{name}: "
    )
    about = (label, score, author, annotation.get("id"), is_crowd(annotation), extra)
    if box is not None:
        return BoxAnnotation(box, *about), notes
    assert region is not None, "read where there is no box alone"
    return ObjectAnnotation(region, *about, measures=measures_of(annotation)), notes


class _Ids:
    """Ids for entries: their own where no other has it, else the next free number."""

    def __init__(self) -> None:
        self._used: set[Id] = set()
        self._last = 0

    def claim(self, given: Id | None, what: str, notes: list[str]) -> Id:
        """The id of an entry; a note when its own is taken."""
        if given is not None and given not in self._used:
            self._used.add(given)
            return given
        while self._last in self._used or not self._last:
            self._last += 1
        self._used.add(self._last)
        if given is not None:
            notes.append(f"{what}: its id {given} is that of another; it is {self._last} now")
        return self._last


def _categories(options: WriteOptions) -> dict[str, Entry]:
    """The entries of classes that keep their ids, by name. Of several with one name the first counts."""
    kept: dict[str, Entry] = {}
    for category in options.categories:
        name = category.get("name")
        if isinstance(name, str) and name:
            kept.setdefault(name, dict(category))
    return kept


def write_coco(images: Iterable[AnnotatedImage], dest: Path, options: WriteOptions, notes: list[str]) -> None:
    """Write a COCO JSON file, annotation by annotation. No image is copied.

    Images, annotations and categories that came from a COCO file keep their ids and what else it says of them.
    """
    categories = _categories(options)
    numbers = [category["id"] for category in categories.values() if isinstance(category["id"], int)]
    others = [label for label in options.labels if label not in categories]
    classes = ClassNumbers(others, first=max(numbers, default=0) + 1)
    image_ids, annotation_ids = _Ids(), _Ids()
    entries: list[Entry] = []
    separator = ""
    with dest.open("w", encoding="utf-8") as file:
        info = options.extra.get("info")
        top = {**options.extra, "info": info if isinstance(info, dict) and info else INFO}
        parts = [f"{json.dumps(key)}: {json.dumps(value)},\n" for key, value in top.items()]
        file.write(f'{{{"".join(parts)}"annotations": [')
        for image in images:
            notes += note_default_labels(image)
            height, width = image.size
            what = f"photograph '{image.file_name}'"
            entry = {**image.extra, "id": image_ids.claim(image.id, what, notes), "file_name": image.file_name}
            entries.append({**entry, "width": width, "height": height})
            for each in image.annotations:
                given = categories.get(each.class_name)
                own = f"{what}, object {each.class_name!r}"
                annotation: Entry = {
                    **each.extra,
                    "id": annotation_ids.claim(each.id, own, notes),
                    "image_id": entry["id"],
                    "category_id": classes.number(each.class_name) if given is None else given["id"],
                    "iscrowd": int(each.is_crowd),
                    **({"score": each.score} if each.score is not None else {}),
                    **({"author": each.author} if each.author is not None else {}),
                }
                if isinstance(each, BoxAnnotation):
                    annotation |= {"area": each.box[2] * each.box[3], "bbox": list(each.box), "segmentation": []}
                else:
                    annotation |= {**each.region.as_annotation(), **each.measures}
                    notes += _use_polygons(annotation, each.region, own, options.tolerance) if options.polygons else []
                file.write(f"{separator}\n{json.dumps(annotation)}")
                separator = ","
        listed = [*categories.values(), *({"id": number, "name": name} for name, number in classes.numbers.items())]
        file.write(f'],\n"images": {json.dumps(entries)},\n"categories": {json.dumps(listed)}}}\n')


def _use_polygons(annotation: Entry, region: RunLengths, what: str, tolerance: float) -> list[str]:
    """Give an annotation polygons, and where they differ from its mask, the area and box of what they are drawn as.

    Returns:
        Notes of what they alter.
    """
    left, top, mask = region.cropped()
    if mask.size > MAX_POLYGON_PIXELS:
        return [f"{what}: is of {mask.size:,} pixels; kept as run lengths"]
    polygons = [np.add(ring, (left, top)).ravel().tolist() for ring in polygons_along_pixel_edges(mask, tolerance)]
    if not polygons:
        return [f"{what}: is empty, so it has no polygon; kept as run lengths"]
    try:
        drawn = RunLengths.from_polygons(polygons, region.size)
    except SaywhereError as error:
        return [f"{what}: kept as run lengths ({error})"]
    differ = 0 if drawn == region else int((drawn.mask() ^ region.mask()).sum())
    annotation |= (drawn.as_annotation() if differ else {}) | {"segmentation": polygons}
    return [f"{what}: its polygons differ from its mask in {differ} of {region.area:,} pixels"] if differ else []
