"""Import from the command line: a file, a ZIP or a folder on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

from saywhere.annotate.db.store import Author, Store
from saywhere.annotate.image_folder import ImageFolder
from saywhere.annotate.imports.apply import apply_import
from saywhere.annotate.imports.plan import plan_import
from saywhere.annotate.imports.status import ImportStatus
from saywhere.annotate.imports.upload import copy_or_unpack

SHOWN = 20  # reasons for what is left out


def import_path(
    store: Store, folder: ImageFolder, path: Path, status: ImportStatus, report: Callable[[str], None],
    crowds: bool = False,
) -> None:  # fmt: skip
    """Import annotations, and say what was added and what was left out.

    Args:
        store: the project.
        folder: its images.
        path: a file, a ZIP or a folder.
        status: what the images are marked as.
        report: called with lines for the person at the terminal.
        crowds: import crowd regions as objects.

    Raises:
        SaywhereError: nothing of it can be read.
    """
    with tempfile.TemporaryDirectory(prefix="saywhere-") as temporary:
        place = copy_or_unpack(path, Path(temporary))
        plan = plan_import(store, folder, place, crowds=crowds)
        result = apply_import(store, folder, plan, status, Author("import", "import"), path.name)
    left_out = [*plan.left_out, *result.left_out]
    for line in left_out[:SHOWN]:
        report(f"left out: {line}")
    if len(left_out) > SHOWN:
        report(f"left out: {len(left_out) - SHOWN:,} more")
    labels = f"; new labels: {', '.join(plan.new_labels)}" if plan.new_labels else ""
    report(f"imported '{path}': {result.objects:,} objects in {len(result.images):,} images{labels}")
