"""COCO JSON: run lengths, which hold any mask as it is, or polygons."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

from saywhere import __version__
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.data.checks import check_label, check_score
from saywhere.data.coco import (
    Entry,
    Id,
    annotation_name,
    class_name_of,
    file_name_of,
    read_coco_file,
    region_of,
    size_of,
)
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    ClassNumbers,
    ObjectAnnotation,
    WriteOptions,
    note_default_labels,
    with_image_file,
)
from saywhere.data.formats.names import safe_name
from saywhere.data.formats.polygons import polygons_along_pixel_edges
from saywhere.errors import SaywhereError

ANNOTATION_KEYS = {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "score", "author"}


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
    folder = images or source.parent
    readers = [partial(_read_image, image, by_image[key], names, folder) for key, image in file.images.items()]
    extra = sorted({key for annotation in file.annotations for key in annotation} - ANNOTATION_KEYS)
    notes = [f"source '{source}': not read: {', '.join(extra)} of annotations"] if extra else []
    return AnnotationSource(readers, [name for name in names.values() if name], notes)


def _read_image(
    image: Entry, annotations: list[Entry], class_names: Mapping[Id, str | None], folder: Path
) -> AnnotatedImage:
    try:
        file_name, size = safe_name(file_name_of(image)), size_of(image)
    except SaywhereError as error:
        raise SaywhereError(f"image {image['id']}: {error}") from error
    crowds = sum(bool(annotation.get("iscrowd")) for annotation in annotations)
    objects = tuple(
        _read_object(annotation, class_names, size) for annotation in annotations if not annotation.get("iscrowd")
    )
    notes = (f"photograph '{file_name}': {crowds} crowd regions left out",) if crowds else ()
    return with_image_file(AnnotatedImage(file_name, size, objects, notes=notes), folder)


def _read_object(annotation: Entry, class_names: Mapping[Id, str | None], size: ImageSize) -> ObjectAnnotation:
    try:
        label = class_name_of(annotation, class_names)
        score, author = check_score(annotation.get("score")), check_label(annotation.get("author"))
        return ObjectAnnotation(region_of(annotation, size), label, score, author)
    except SaywhereError as error:
        raise SaywhereError(f"{annotation_name(annotation)}: {error}") from error


def write_coco(images: Iterable[AnnotatedImage], dest: Path, options: WriteOptions, notes: list[str]) -> None:
    """Write a COCO JSON file, annotation by annotation. No image is copied."""
    classes, count = ClassNumbers(options.labels), 0
    entries: list[Entry] = []
    with dest.open("w", encoding="utf-8") as file:
        info = {"description": "converted by saywhere", "version": __version__}
        file.write(f'{{"info": {json.dumps(info)},\n"annotations": [')
        for image in images:
            notes += note_default_labels(image)
            height, width = image.size
            entries.append({"id": len(entries) + 1, "file_name": image.file_name, "width": width, "height": height})
            for each in image.objects:
                count += 1
                annotation = {
                    "id": count,
                    "image_id": len(entries),
                    "category_id": classes.number(each.class_name),
                    "iscrowd": 0,
                    **each.region.as_annotation(),
                    **({"score": each.score} if each.score is not None else {}),
                    **({"author": each.author} if each.author is not None else {}),
                }
                if options.polygons:
                    what = f"photograph '{image.file_name}', object {each.class_name!r}"
                    notes += _use_polygons(annotation, each.region, what)
                file.write(("," if count > 1 else "") + "\n" + json.dumps(annotation))
        categories = [{"id": number, "name": label} for label, number in classes.numbers.items()]
        file.write(f'],\n"images": {json.dumps(entries)},\n"categories": {json.dumps(categories)}}}\n')


def _use_polygons(annotation: Entry, region: RunLengths, what: str) -> list[str]:
    """Give an annotation polygons, with the area and box that pycocotools computes from them.

    Returns:
        Notes of what they alter.
    """
    polygons = [polygon.ravel().tolist() for polygon in polygons_along_pixel_edges(region.mask())]
    if not polygons:
        return [f"{what}: is empty, so it has no polygon; kept as run lengths"]
    try:
        drawn = RunLengths.from_polygons(polygons, region.size)
    except SaywhereError as error:
        return [f"{what}: kept as run lengths ({error})"]
    annotation |= drawn.as_annotation() | {"segmentation": polygons}
    differ = int((drawn.mask() ^ region.mask()).sum())
    return [f"{what}: its polygons differ from its mask in {differ} of {region.area:,} pixels"] if differ else []
