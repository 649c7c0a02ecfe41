"""COCO JSON: run lengths, which hold any mask as it is, or polygons."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

from saywhere import __version__
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.data.datasets.coco import file_name, load_coco
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    Classes,
    Object,
    Source,
    WriteOptions,
    checked_label,
    checked_score,
    checked_size,
    find_image,
    without_label,
)
from saywhere.data.formats.names import safe_name
from saywhere.data.formats.polygons import along_edges
from saywhere.errors import SaywhereError

Entry = dict[str, Any]
KEPT = {"id", "image_id", "category_id", "segmentation", "area", "bbox", "iscrowd", "score", "author"}


def read_coco(source: Path, photos: Path | None) -> Source:
    """The photographs of a COCO JSON file, which lie in ``photos`` or beside it. All its text is held in memory.

    SaywhereError when it is not COCO JSON, or an entry belongs to no photograph.
    """
    data = load_coco(source)
    images, entries, categories = (_entries(data, key, source) for key in ("images", "annotations", "categories"))
    try:
        labels = {one["id"]: checked_label(one["name"]) for one in categories}
        known = {one["id"] for one in images}
        by_image: dict[Any, list[Entry]] = defaultdict(list)
        for entry in entries:
            if entry["image_id"] not in known:
                raise SaywhereError(f"annotation {entry.get('id')}: image_id {entry['image_id']}: no such image")
            by_image[entry["image_id"]].append(entry)
        if len(known) < len(images):
            raise SaywhereError("two images have the same id; give each one of its own")
        found = [partial(_photo, one, by_image[one["id"]], labels, photos or source.parent) for one in images]
    except SaywhereError as error:
        raise SaywhereError(f"source '{source}': {error}") from error
    except (KeyError, TypeError) as error:
        raise SaywhereError(f"source '{source}': an entry lacks or misnames {error}; see the COCO format") from error
    extra = sorted({key for entry in entries for key in entry} - KEPT)
    notes = [f"source '{source}': not read: {', '.join(extra)} of annotations"] if extra else []
    return Source(found, [label for label in labels.values() if label], notes)


def _entries(data: Entry, key: str, source: Path) -> list[Entry]:
    if not isinstance(data[key], list) or not all(isinstance(one, dict) for one in data[key]):
        raise SaywhereError(f"source '{source}': {key} is not a list of objects; see the COCO format")
    return data[key]


def _photo(image: Entry, entries: list[Entry], labels: dict[Any, str | None], folder: Path) -> AnnotatedImage:
    try:
        file = safe_name(file_name(image))
        size = checked_size(image.get("width"), image.get("height"))
    except (SaywhereError, KeyError) as error:
        raise SaywhereError(f"image {image['id']}: {error}") from error
    crowds = sum(bool(entry.get("iscrowd")) for entry in entries)
    objects = tuple(_object(entry, labels, size) for entry in entries if not entry.get("iscrowd"))
    notes = (f"photograph '{file}': {crowds} crowd regions left out",) if crowds else ()
    return AnnotatedImage(file, *size, objects, find_image(folder, file, size), notes)


def _object(entry: Entry, labels: dict[Any, str | None], size: tuple[int, int]) -> Object:
    try:
        if entry.get("category_id") not in labels:
            raise SaywhereError(f"category_id {entry.get('category_id')!r}: no such category")
        region = RunLengths.from_coco(entry.get("segmentation"), ImageSize(size[1], size[0]))
        author = checked_label(entry.get("author"))
        return Object(region, labels[entry["category_id"]], checked_score(entry.get("score")), author)
    except (SaywhereError, TypeError) as error:
        raise SaywhereError(f"annotation {entry.get('id')}: {error}") from error


def write_coco(photos: Iterable[AnnotatedImage], dest: Path, how: WriteOptions, notes: list[str]) -> None:
    """Write a COCO JSON file, annotation by annotation; ``file_name`` is the photograph's name, nothing is copied."""
    classes, count = Classes(how.labels), 0
    images: list[Entry] = []
    with dest.open("w", encoding="utf-8") as file:
        about = {"description": "converted by saywhere", "version": __version__}
        file.write(f'{{"info": {json.dumps(about)},\n"annotations": [')
        for photo in photos:
            notes += without_label(photo)
            size = {"width": photo.width, "height": photo.height}
            images.append({"id": len(images) + 1, "file_name": photo.file, **size})
            for one in photo.objects:
                count += 1
                entry = {
                    "id": count,
                    "image_id": len(images),
                    "category_id": classes.number(one.named),
                    "iscrowd": 0,
                    **one.region.as_annotation(),
                    **({"score": one.score} if one.score is not None else {}),
                    **({"author": one.author} if one.author is not None else {}),
                }
                if how.polygons:
                    notes += _as_polygons(entry, one.region, f"photograph '{photo.file}', object {one.named!r}")
                file.write(("," if count > 1 else "") + "\n" + json.dumps(entry))
        categories = [{"id": number, "name": label} for label, number in classes.numbers.items()]
        file.write(f'],\n"images": {json.dumps(images)},\n"categories": {json.dumps(categories)}}}\n')


def _as_polygons(entry: Entry, region: RunLengths, what: str) -> list[str]:
    """Give an entry polygons, with the area and box that pycocotools finds for them; notes of what they alter."""
    polygons = [ring.ravel().tolist() for ring in along_edges(region.mask())]
    if not polygons:
        return [f"{what}: is empty, so it has no polygon; kept as run lengths"]
    drawn = RunLengths.from_polygons(polygons, region.size)
    entry |= drawn.as_annotation() | {"segmentation": polygons}
    differ = int((drawn.mask() ^ region.mask()).sum())
    return [f"{what}: its polygons differ from its mask in {differ} of {region.area:,} pixels"] if differ else []
