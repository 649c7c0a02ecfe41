"""Data sets: every reader yields the same :class:`Sample`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from saywhere.datasets.coco import read_coco
from saywhere.datasets.grabcut import read_grabcut
from saywhere.datasets.sample import Sample
from saywhere.errors import SaywhereError

__all__ = ["DATASETS", "Sample", "data_root", "load_dataset", "locate", "read_coco", "read_grabcut"]

DATASETS: Final[Mapping[str, tuple[str, Callable[[Path], list[Sample]]]]] = {
    "grabcut": ("grabcut", read_grabcut),
    "leeds-butterfly": ("leeds-butterfly/instances.json", read_coco),
    "photos-7k:train": ("photos-7k/train.json", read_coco),
    "photos-7k:val": ("photos-7k/val.json", read_coco),
}


def data_root() -> Path | None:
    """The folder that the environment variable SAYWHERE_DATA names, or None."""
    root = os.environ.get("SAYWHERE_DATA")
    return Path(root) if root else None


def locate(name: str | Path) -> Path:
    """A file or folder as given, or else under :func:`data_root`; SaywhereError when it is in neither place."""
    path = Path(name)
    root = data_root()
    for candidate in (path, *([root / path] if root else [])):
        if candidate.exists():
            return candidate
    hint = f"nor under SAYWHERE_DATA={root}" if root else "and SAYWHERE_DATA, the folder of data sets, is not set"
    raise SaywhereError(f"'{name}': not there, {hint}")


def load_dataset(name: str) -> list[Sample]:
    """The objects of a data set by its name in :data:`DATASETS`, or of any COCO JSON file.

    Raises SaywhereError when it is unknown, not on this machine or not in its layout.
    """
    if name in DATASETS:
        place, read = DATASETS[name]
        return read(locate(place))
    if not name.endswith(".json"):
        raise SaywhereError(f"data '{name}': not known; give a COCO JSON file or one of {', '.join(DATASETS)}")
    return read_coco(locate(name))
