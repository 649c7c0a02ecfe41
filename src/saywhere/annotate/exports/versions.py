"""Exports that are kept: numbered, with their manifests, so that one can say what changed between two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from saywhere.annotate.db.export_versions import ExportVersions
from saywhere.annotate.db.store import Store
from saywhere.annotate.exports.manifest import Manifest, compare
from saywhere.annotate.exports.options import ExportOptions
from saywhere.annotate.exports.write import Export, write_export, write_tree
from saywhere.annotate.image_folder import ImageFolder


def make_export(
    store: Store, folder: ImageFolder, target: Path, options: ExportOptions, person: str, packed: bool = True
) -> Export:
    """Write an export and keep its manifest as the next version.

    Args:
        store: the project.
        folder: its images.
        target: an empty folder, in which the file is written; or, unless ``packed``, what to write.
        options: what to write.
        person: who exports.
        packed: write one file to download; else a folder.

    Raises:
        SaywhereError: it cannot be written; no version is kept.
    """
    versions = ExportVersions(store)
    version = versions.begin(person)
    try:
        write = write_export if packed else write_tree
        export = write(store, folder, target, options, version, person)
        versions.finish(version, export.manifest)
    except BaseException:
        versions.drop(version)
        raise
    return export


def changes_since_last(store: Store, manifest: Manifest) -> dict[str, Any] | None:
    """What changed between the export before a version and that version; None for the first one."""
    before = ExportVersions(store).manifests(before=manifest["version"], limit=1)
    return compare(before[0], manifest) if before else None
