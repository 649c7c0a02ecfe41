"""What is wrong with a data set, before a run starts."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from saywhere.core.geometry import ImageSize
from saywhere.core.images import image_size
from saywhere.data.datasets import DataSet, Sample, locate
from saywhere.errors import SaywhereError


def check(samples: Iterable[Sample]) -> list[str]:
    """One line for each fault: what file or object it is, what is wrong and what was expected.

    Finds photographs and masks that are missing or unreadable, masks of another size than their photograph, objects
    without a pixel that counts, and names that come twice. Of a photograph only the header is read.
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
    """What is wrong with an object's mask whose photograph has this size, None when that is not known."""
    try:
        target, ignore = sample.target(), sample.ignore()
    # Whatever a reader's library raises, the other files are still to be looked at.
    except Exception as error:
        return f"cannot be read ({error}); expected a mask"
    height, width = target.shape
    if size and target.shape != size:
        return f"the mask is {width}x{height}; expected {size.width}x{size.height}, as the photograph"
    if ignore is not None and ignore.shape != target.shape:
        return f"what is not counted is {ignore.shape[1]}x{ignore.shape[0]}; expected {width}x{height}, as the mask"
    if not np.any(target if ignore is None else target & ~ignore):
        return "the mask is empty; expected at least one object pixel that counts"
    return None


def found(known: DataSet) -> str:
    """In a few words, whether a data set is on this machine, with how many objects."""
    try:
        place = locate(*known.places)
    except SaywhereError:
        return "no"
    try:
        return f"{len(known.read(place)):,} objects"
    except SaywhereError:
        return f"in another layout; see saywhere data {known.name}"
