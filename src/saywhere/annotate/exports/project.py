"""The annotations of a project that is not open, as a COCO file."""

from __future__ import annotations

from pathlib import Path

from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.db.store import Store
from saywhere.annotate.exports.options import ExportOptions
from saywhere.annotate.exports.write import write_tree
from saywhere.annotate.image_folder import ImageFolder


def is_project(folder: Path) -> bool:
    """Whether a folder of images was annotated: its database is in it."""
    return folder.is_dir() and Path(str(default_database_url(folder).database)).is_file()


def write_project(folder: Path, target: Path) -> list[str]:
    """Write the objects of the images that are done, without keeping this as an export of the project.

    Args:
        folder: the folder that was annotated, with its database.
        target: a new COCO JSON file; the names of its images are paths below ``folder``.

    Returns:
        What was left out.

    Raises:
        SaywhereError: the database cannot be read, or the file cannot be written.
    """
    root = ImageFolder(folder)
    database = Database(default_database_url(root.root))
    try:
        export = write_tree(Store(database, root.root), root, target, ExportOptions("coco"))
    finally:
        database.close()
    return [*export.manifest["left_out"], *export.manifest["notes"]]
