"""Datasets for measuring and training: every reader yields the same :class:`Sample`."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from saywhere.data.datasets.catalog import DATASETS, Dataset
from saywhere.data.datasets.coco import read_coco
from saywhere.data.datasets.folders import read_grabcut
from saywhere.data.datasets.sample import Sample
from saywhere.data.datasets.shards import ShardSamples, find_shards, is_shards
from saywhere.data.files import exists
from saywhere.errors import SaywhereError

__all__ = ["DATASETS", "Dataset", "Sample", "check_images", "data_root", "image_names", "load_dataset", "locate",
           "locate_data", "read_coco", "read_grabcut"]  # fmt: skip
ENTRIES = 8  # of a folder, in one message


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
            if exists(candidate):
                return candidate
    hint = f"nor under SAYWHERE_DATA={root}" if root else "and SAYWHERE_DATA, the folder of datasets, is not set"
    given = " or ".join(f"'{name}'" for name in names)
    raise SaywhereError(f"{given}: not there, {hint}")


def locate_data(name: str) -> Path:
    """Where a dataset is, by its name in :data:`DATASETS` or as a path; errors as in :func:`locate`."""
    if is_shards(name):
        return Path(find_shards(name, data_root())[0])
    if name not in DATASETS:
        return locate(name)
    places = DATASETS[name].places
    try:
        return locate(*places)
    except SaywhereError as error:
        raise SaywhereError(f"data '{name}': {error}{_entries_of(places)}") from error


def _entries_of(places: Iterable[str]) -> str:
    """What lies in the folder where a dataset should have been, for a message; "" when there is none."""
    for name in dict.fromkeys(Path(place).parts[0] for place in places):
        for folder in (Path(name), *([root / name] if (root := data_root()) else [])):
            if folder.is_dir():
                entries = sorted(entry.name for entry in folder.iterdir())
                more = ", ..." if len(entries) > ENTRIES else ""
                return f"; found '{folder}' with {', '.join(entries[:ENTRIES]) or 'nothing'}{more}"
    return ""


def image_names(name: str) -> set[str]:
    """The names of the images of a dataset, without folder and type; errors as in :func:`load_dataset`."""
    if name in DATASETS and (names := DATASETS[name].image_names):
        return set(names(locate_data(name)))
    return {sample.image_path.stem for sample in load_dataset(name)}


def check_images(name: str, paths: Iterable[Path]) -> None:
    """SaywhereError when images of a dataset are missing; it names one."""
    known = list(paths)
    missing = [path for path in known if not path.is_file()]
    if missing:
        raise SaywhereError(
            f"data '{name}': {len(missing):,} of {len(known):,} images are not there; expected '{missing[0]}'"
        )


def load_dataset(name: str) -> Sequence[Sample]:
    """The objects of a dataset.

    Args:
        name: a key of :data:`DATASETS`, the path of a COCO JSON file, or the path or address of tar files
            (:mod:`saywhere.data.datasets.shards`).

    Raises:
        SaywhereError: it is unknown, not on this machine or not in its layout.
    """
    if name in DATASETS:
        return DATASETS[name].read(locate_data(name))
    if is_shards(name):
        return ShardSamples(find_shards(name, data_root()))
    if not name.endswith(".json"):
        choice = f"a COCO JSON file, tar files or one of {', '.join(DATASETS)}"
        raise SaywhereError(f"data '{name}': not known; give {choice}")
    notes: list[str] = []
    samples = read_coco(locate(name), notes=notes)
    for note in notes:
        logging.getLogger("saywhere").warning("%s", note)
    return samples
