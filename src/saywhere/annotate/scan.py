"""What is in the folder of images: new and lost images, images that cannot be read, and files that are no images."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from saywhere.annotate.db.store import Store
from saywhere.annotate.image_folder import ImageFolder
from saywhere.core.images import is_image_name
from saywhere.errors import SaywhereError

MAX_CHECKED = 5000  # images whose headers are read in one scan


@dataclass(frozen=True)
class ScanReport:
    """What listing the folder anew found.

    Attributes:
        added: how many images are new.
        gone: how many are not there any more.
        renamed: how many have another name than before.
        unreadable: why images cannot be read that were never opened, a line each.
        ignored: how many files are no images, by their suffix.
    """

    added: int = 0
    gone: int = 0
    renamed: int = 0
    unreadable: tuple[str, ...] = ()
    ignored: Mapping[str, int] = field(default_factory=dict)


def scan_folder(store: Store, folder: ImageFolder, check: bool = False) -> ScanReport:
    """List the folder's images anew.

    Args:
        store: the project.
        folder: its images.
        check: whether to read the headers of images that were never opened, and to look at all other files.

    Returns:
        What was found; without ``check`` only which images came and went.
    """
    _, rows = store.list_images(limit=2**31 - 1)
    before = {row.path for row in rows if not row.missing}
    paths = folder.list_paths()
    renamed = store.sync_images(paths, folder)
    for old, new in renamed.items():
        logging.getLogger("saywhere").info("image '%s': is '%s' now, by its hash", old, new)
    added = set(paths) - before - set(renamed.values())
    gone = before - set(paths) - set(renamed)
    unreadable = _check_headers(store, folder) if check else ()
    return ScanReport(len(added), len(gone), len(renamed), unreadable, _other_files(folder.root) if check else {})


def _check_headers(store: Store, folder: ImageFolder) -> tuple[str, ...]:
    """Record and return the faults of images that were never opened, and return those that are known."""
    _, rows = store.list_images(limit=2**31 - 1)
    present = [row for row in rows if not row.missing]
    faults = [row.fault for row in present if row.fault is not None]
    for row in [row for row in present if row.fault is None and row.width is None][:MAX_CHECKED]:
        try:
            folder.header(row.path)
        except SaywhereError as error:
            store.record_file(row.id, None, None, str(error))
            faults.append(str(error))
    return tuple(faults)


def _other_files(root: Path) -> dict[str, int]:
    """How many visible files are no images, by suffix, most first."""
    suffixes: Counter[str] = Counter()
    for _, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        others = [Path(name) for name in names if not name.startswith(".") and not is_image_name(Path(name))]
        suffixes.update(path.suffix.lower() or path.name for path in others)
    return dict(suffixes.most_common())
