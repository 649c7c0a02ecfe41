"""Objects of COCO JSON files. LVIS and Fashionpedia have the same layout."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.data.coco import (
    CocoFile,
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
from saywhere.data.coco_index import BOX, CROWD, MASK, CocoIndex
from saywhere.data.datasets.sample import Sample, SampleTable, nothing_ignored
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


def read_coco(path: Path, images: Path | None = None, notes: list[str] | None = None) -> Sequence[Sample]:
    """The objects of a COCO JSON file; crowd regions, and boxes without a mask, are left out.

    Of a large file the objects are read when they are asked for (:class:`CocoSamples`).

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
    folder = images or path.parent
    samples: Sequence[Sample]
    if file.index is not None:
        crowds, boxes = (int(np.count_nonzero(file.index.kinds == kind)) for kind in (CROWD, BOX))
        samples = CocoSamples(file, file.index, names, folder)
    else:
        single = [annotation for annotation in file.annotations if not is_crowd(annotation)]
        masked = [annotation for annotation in single if only_box(annotation) is None]
        crowds, boxes = len(file.annotations) - len(single), len(single) - len(masked)
        samples = [coco_sample(each, file.images[each["image_id"]], names, folder, path) for each in masked]
    if notes is not None:
        notes += file.shared_names()
        if crowds:
            notes.append(
                f"file '{path}': {crowds:,} crowd regions left out; saywhere convert --keep-crowd makes objects of them"
            )
        if boxes:
            notes.append(f"file '{path}': {boxes:,} boxes without a mask left out")
    return samples


class CocoSamples(SampleTable):
    """The objects of a large COCO JSON file; each is read from the file when it is asked for.

    Args:
        file: the file.
        index: its index.
        class_names: by the ids of the categories.
        folder: where the images lie.

    Raises:
        SaywhereError: an annotation lacks something.
    """

    def __init__(self, file: CocoFile, index: CocoIndex, class_names: Mapping[Id, str | None], folder: Path) -> None:
        if index.about["unusable"]:
            raise SaywhereError(f"file '{file.path}': {index.about['unusable']}")
        self.file, self._index, self.class_names, self.folder = file, index, class_names, folder
        self._rows = np.flatnonzero(index.kinds == MASK)
        self.images = index.image_rows[self._rows]
        self.labels, self.names = index.categories[self._rows], list(class_names.values())
        self.place, self.key = str(file.path.resolve()), index.key

    def image_path(self, image: int) -> Path:
        """The file of an image, by its number."""
        return self.folder / file_name_of(self._index.image(image))

    def row(self, row: int) -> Sample:
        """The object in a row."""
        annotation, image = self._index.annotation(int(self._rows[row])), self._index.image(int(self.images[row]))
        return coco_sample(annotation, image, self.class_names, self.folder, self.file.path)


def read_coco_folder(path: Path, folders: tuple[str, ...]) -> Sequence[Sample]:
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
