"""PASCAL VOC 2012 and SBD: one map of object numbers for each image, and lists of images."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from saywhere.core.arrays import BoolArray
from saywhere.data.datasets.masks import Values, mask_with_number, read_numbers
from saywhere.data.datasets.sample import Sample
from saywhere.errors import SaywhereError, needing

VOID = 255  # the border around objects, and what the annotators could not decide
CLASSES: Final = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable", "dog",
    "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip


def read_voc(folder: Path, split: str) -> list[Sample]:
    """The objects of the images that ``ImageSets/Segmentation/SPLIT.txt`` lists; the void border is not counted.

    The maps alone tell which objects there are, so each is read once here, and again when a mask is asked for.
    """
    object_maps, class_maps = folder / "SegmentationObject", folder / "SegmentationClass"
    layout = f"ImageSets/Segmentation/{split}.txt, JPEGImages, SegmentationObject and SegmentationClass"
    samples = []
    for name in _read_list(folder, f"ImageSets/Segmentation/{split}.txt", layout):
        path = object_maps / f"{name}.png"
        object_map, classes = read_numbers(path), read_numbers(class_maps / f"{name}.png")
        if object_map.shape != classes.shape:
            raise SaywhereError(f"mask '{path}': its size is not that of its map in SegmentationClass")
        samples += [
            Sample(
                name=f"{name}/{number}",
                image_path=folder / "JPEGImages" / f"{name}.jpg",
                target=partial(mask_with_number, path, number),
                ignore=partial(mask_with_number, path, VOID),
                label=_label(most_common_class(classes[object_map == number]), path),
                group="voc2012",
                source=path,
            )
            for number in np.unique(object_map[(object_map != 0) & (object_map != VOID)]).tolist()
        ]
    return samples


def read_sbd(folder: Path, split: str) -> list[Sample]:
    """The objects of the images that ``SPLIT.txt`` lists; their numbers and classes come from ``inst/NAME.mat``.

    Each ``.mat`` file is read once for its classes, and again when a mask is asked for.
    """
    samples = []
    for name in _read_list(folder, f"{split}.txt", f"{split}.txt, img and inst"):
        path = folder / "inst" / f"{name}.mat"
        _, classes = _read_instances(path)
        samples += [
            Sample(
                name=f"{name}/{number}",
                image_path=folder / "img" / f"{name}.jpg",
                target=partial(sbd_object, path, number),
                label=_label(class_number, path),
                group="sbd",
                source=path,
            )
            for number, class_number in enumerate(classes, start=1)
        ]
    return samples


def voc_names(folder: Path, split: str) -> list[str]:
    """The names of the images of a split of VOC 2012. Masks are not read."""
    return _read_list(folder, f"ImageSets/Segmentation/{split}.txt", "ImageSets/Segmentation")


def sbd_names(folder: Path, split: str) -> list[str]:
    """The names of the images of a split of SBD. Masks are not read."""
    return _read_list(folder, f"{split}.txt", f"{split}.txt")


def sbd_object(path: Path, number: int) -> BoolArray:
    """Object ``number`` (from 1) of an SBD ``.mat`` file as ``(H, W)``."""
    segmentation, _ = _read_instances(path)
    return np.asarray(segmentation == number)


def _read_instances(path: Path) -> tuple[Values, list[int]]:
    """The ``(H, W)`` map of object numbers of an SBD file, and the kind (from 1) of each object."""
    with needing("bench", f"mask '{path}'"):
        from scipy.io import loadmat
    try:
        instances = loadmat(path, variable_names=["GTinst"], squeeze_me=True, struct_as_record=False)["GTinst"]
        return np.asarray(instances.Segmentation, np.uint8), np.atleast_1d(instances.Categories).astype(int).tolist()
    # scipy raises whatever the damaged part of a file happens to break.
    except Exception as error:
        raise SaywhereError(
            f"mask '{path}': expected an SBD file with GTinst.Segmentation and GTinst.Categories ({error})"
        ) from error


def _read_list(folder: Path, file: str, layout: str) -> list[str]:
    """The names in a list of images. SaywhereError says what the folder should look like."""
    try:
        names = (folder / file).read_text().split()
    except (OSError, ValueError) as error:
        entries = sorted(entry.name for entry in folder.iterdir()) if folder.is_dir() else []
        there = f"; found {', '.join(entries[:8])}" if entries else ""
        raise SaywhereError(f"data '{folder}': expected {layout} there; {file} cannot be read{there}") from error
    if not names:
        raise SaywhereError(f"data '{folder}': {file} lists no photograph; expected one name a line")
    return names


def most_common_class(classes: Values) -> int:
    """The class number that most pixels of an object have; 0 when none has one."""
    counts = np.bincount(classes[classes != VOID], minlength=1)
    counts[0] = 0
    return int(counts.argmax())


def _label(class_number: int, path: Path) -> str:
    if not 1 <= class_number <= len(CLASSES):
        raise SaywhereError(f"mask '{path}': an object is of class {class_number}; expected 1 to {len(CLASSES)}")
    return CLASSES[class_number - 1]
