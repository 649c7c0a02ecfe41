"""Check the files of a dataset before a run starts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from saywhere.core.geometry import ImageSize
from saywhere.core.images import image_size
from saywhere.core.rle import RunLengths
from saywhere.data.datasets import Dataset, Sample, locate
from saywhere.data.datasets.sample import nothing_ignored
from saywhere.errors import SaywhereError

EMPTY = "the mask is empty; expected at least one object pixel that counts"


def check(samples: Iterable[Sample]) -> list[str]:
    """Find what is wrong with the files of a dataset.

    These are images and masks that are missing or unreadable, masks of another size than their image, objects without a
    pixel that counts, and names that come twice. Of an image only the header is read.

    Args:
        samples: the objects of the dataset.

    Returns:
        A line for each fault: what file or object it is, what is wrong and what was expected.
    """
    faults: list[str] = []
    sizes: dict[Path, ImageSize | None] = {}
    names: set[str] = set()
    for sample in samples:
        if sample.name in names:
            faults.append(f"object '{sample.name}': the name comes twice; expected one of its own for each object")
        names.add(sample.name)
        if sample.image_path not in sizes:
            try:
                sizes[sample.image_path] = image_size(sample.image_path)
            except SaywhereError as error:
                sizes[sample.image_path] = None
                faults.append(f"{error}; expected the photograph of object '{sample.name}'")
        fault = _mask_fault(sample, sizes[sample.image_path])
        if fault:
            faults.append(f"object '{sample.name}' of '{sample.image_path}', mask in '{sample.source}': {fault}")
    return faults if names else ["no object at all; expected at least one"]


def _mask_fault(sample: Sample, size: ImageSize | None) -> str | None:
    """What is wrong with an object's mask, or None. ``size`` is that of its image, None when it is not known."""
    try:
        if sample.encoded is not None and sample.ignore is nothing_ignored:
            # Of 100 megapixels with many objects, decoding each mask would take minutes.
            return _region_fault(sample.encoded(), size)
        target, ignore = sample.target(), sample.ignore()
    # Whatever a reader's library raises, the other files are still to be checked.
    except Exception as error:
        return f"cannot be read ({error}); expected a mask"
    height, width = target.shape
    if size and target.shape != size:
        return _other_size(ImageSize(height, width), size)
    if ignore is not None and ignore.shape != target.shape:
        return f"what is not counted is {ignore.shape[1]}x{ignore.shape[0]}; expected {width}x{height}, as the mask"
    if not np.any(target if ignore is None else target & ~ignore):
        return EMPTY
    return None


def _region_fault(region: RunLengths, size: ImageSize | None) -> str | None:
    """What is wrong with a mask of which all pixels count, without decoding it."""
    if size and region.size != size:
        return _other_size(region.size, size)
    return None if region.area else EMPTY


def _other_size(given: ImageSize, size: ImageSize) -> str:
    return f"the mask is {given.width}x{given.height}; expected {size.width}x{size.height}, as the photograph"


def describe_local(dataset: Dataset) -> str:
    """Whether a dataset is on this machine, and with how many objects, in a few words."""
    try:
        place = locate(*dataset.places)
    except SaywhereError:
        return "no"
    try:
        return f"{len(dataset.read(place)):,} objects"
    except SaywhereError:
        return f"in another layout; see saywhere data {dataset.name}"
