"""Objects of COCO JSON files. LVIS and Fashionpedia have the same layout."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.data.coco import (
    Entry,
    Id,
    annotation_name,
    class_name_of,
    file_name_of,
    is_crowd,
    only_box,
    read_coco_file,
    segmentation_of,
    size_of,
)
from saywhere.data.datasets.sample import Sample, nothing_ignored
from saywhere.errors import SaywhereError


def encode(segmentation: Any, size: ImageSize, annotation: str = "", path: Path | None = None) -> RunLengths:
    """The run lengths of a COCO segmentation.

    Args:
        segmentation: polygons or run lengths, as :meth:`RunLengths.from_coco` takes them.
        size: the size of its image.
        annotation: what an error calls the annotation.
        path: the file that an error names.

    Raises:
        SaywhereError: the segmentation cannot be used.
    """
    try:
        return RunLengths.from_coco(segmentation, ImageSize(*size))
    except SaywhereError as error:
        raise SaywhereError(f"file '{path}': {annotation}: {error}" if path else str(error)) from error


def decode(segmentation: Any, size: ImageSize, annotation: str = "", path: Path | None = None) -> BoolArray:
    """The ``(H, W)`` mask of a COCO segmentation; see :func:`encode`."""
    return encode(segmentation, size, annotation, path).mask()


def read_coco(path: Path, images: Path | None = None, notes: list[str] | None = None) -> list[Sample]:
    """The objects of a COCO JSON file; crowd regions, and boxes without a mask, are left out.

    Args:
        path: the file. An annotation's ``ignore_region`` (a segmentation) marks pixels that are not counted.
        images: the folder of the images; by default that of the file.
        notes: gets a line for each kind of annotation that is left out.

    Raises:
        SaywhereError: it is not COCO JSON, or an entry cannot be used. Masks are checked when they are decoded.
    """
    file = read_coco_file(path)
    file.raise_faults()
    names = file.class_names()
    single = [annotation for annotation in file.annotations if not is_crowd(annotation)]
    masked = [annotation for annotation in single if only_box(annotation) is None]
    if notes is not None:
        crowds, boxes = len(file.annotations) - len(single), len(single) - len(masked)
        notes += file.shared_names()
        if crowds:
            notes.append(
                f"file '{path}': {crowds:,} crowd regions left out; saywhere convert --keep-crowd makes objects of them"
            )
        if boxes:
            notes.append(f"file '{path}': {boxes:,} boxes without a mask left out")
    return [
        coco_sample(annotation, file.images[annotation["image_id"]], names, images or path.parent, path)
        for annotation in masked
    ]


def read_coco_folder(path: Path, folders: tuple[str, ...]) -> list[Sample]:
    """The objects of ``annotations/NAME.json``, whose images lie in a folder beside ``annotations``.

    Args:
        path: the JSON file.
        folders: names of that folder; the first that is there counts.

    Raises:
        SaywhereError: none of the folders is there, and as :func:`read_coco`.
    """
    places = [path.parents[1] / folder for folder in folders]
    place = next((place for place in places if place.is_dir()), None)
    if not place:
        expected = " or ".join(map(str, places))
        raise SaywhereError(f"data '{path}': expected its photographs in {expected}, as COCO lays them out")
    return read_coco(path, place)


def coco_sample(
    annotation: Entry, image: Entry, class_names: Mapping[Id, str | None], folder: Path, source: Path
) -> Sample:
    """One annotation as a sample.

    Args:
        annotation: an entry of ``annotations``.
        image: its entry of ``images``.
        class_names: by the ids of the categories.
        folder: where the images lie.
        source: the JSON file.

    Raises:
        SaywhereError: something is missing that the COCO format asks for.
    """
    what = annotation_name(annotation)
    try:
        if annotation.get("id") is None:
            raise SaywhereError("an id is needed")
        size = size_of(image)
        path = folder / file_name_of(image)
        segmentation = segmentation_of(annotation)
        label = class_name_of(annotation, class_names)
    except SaywhereError as error:
        raise SaywhereError(f"file '{source}': {what} of image {image['id']}: {error}") from error
    region = annotation.get("ignore_region")
    return Sample(
        name=str(annotation["id"]),
        image_path=path,
        target=partial(decode, segmentation, size, what, source),
        ignore=partial(decode, region, size, f"ignore_region of {what}", source) if region else nothing_ignored,
        label=label,
        group=path.parent.name,
        source=source,
        encoded=partial(encode, segmentation, size, what, source),
    )
