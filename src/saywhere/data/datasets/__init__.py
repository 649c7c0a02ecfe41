"""Datasets for measuring and training: every reader yields the same :class:`Sample`."""

from __future__ import annotations

import os
from pathlib import Path

from saywhere.data.datasets.catalog import DATASETS, Dataset
from saywhere.data.datasets.coco import read_coco
from saywhere.data.datasets.folders import read_grabcut
from saywhere.data.datasets.sample import Sample
from saywhere.errors import SaywhereError

__all__ = ["DATASETS", "Dataset", "Sample", "data_root", "load_dataset", "locate", "locate_data",
           "read_coco", "read_grabcut"]  # fmt: skip


def data_root() -> Path | None:
    """The folder that the environment variable SAYWHERE_DATA names, or None."""
    root = os.environ.get("SAYWHERE_DATA")
    return Path(root) if root else None


def locate(*names: str | Path) -> Path:
    """The first of some files or folders that is there.

    Args:
        names: paths as given, or relative to :func:`data_root`.

    Raises:
        SaywhereError: none is in either place.
    """
    root = data_root()
    for path in map(Path, names):
        for candidate in (path, *([root / path] if root else [])):
            if candidate.exists():
                return candidate
    hint = f"nor under SAYWHERE_DATA={root}" if root else "and SAYWHERE_DATA, the folder of datasets, is not set"
    given = " or ".join(f"'{name}'" for name in names)
    raise SaywhereError(f"{given}: not there, {hint}")


def locate_data(name: str) -> Path:
    """Where a dataset is, by its name in :data:`DATASETS` or as a path; errors as in :func:`locate`."""
    return locate(*DATASETS[name].places) if name in DATASETS else locate(name)


def load_dataset(name: str) -> list[Sample]:
    """The objects of a dataset.

    Args:
        name: a key of :data:`DATASETS`, or the path of a COCO JSON file.

    Raises:
        SaywhereError: it is unknown, not on this machine or not in its layout.
    """
    if name in DATASETS:
        return DATASETS[name].read(locate_data(name))
    if not name.endswith(".json"):
        raise SaywhereError(f"data '{name}': not known; give a COCO JSON file or one of {', '.join(DATASETS)}")
    return read_coco(locate(name))
