"""Images that were renamed or moved within their folder: known by the hashes of their files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from saywhere.annotate.db.tables import ImageRow
from saywhere.annotate.image_folder import ImageFolder
from saywhere.core.geometry import ImageSize
from saywhere.errors import SaywhereError


def find_renamed(missing: Iterable[ImageRow], paths: Sequence[str], folder: ImageFolder) -> dict[int, str]:
    """Where images are now whose files are not at their paths any more.

    Only files with the size of a missing image are read whole.

    Args:
        missing: the images; those that were never loaded have no hash and cannot be recognised.
        paths: files that may be one of them.
        folder: the folder of all these files.

    Returns:
        The new path by the number of the image, for those that are there.
    """
    by_hash: dict[str, list[ImageRow]] = defaultdict(list)
    sizes = set()
    for row in missing:
        if row.sha256 is not None and row.height is not None and row.width is not None:
            by_hash[row.sha256].append(row)
            sizes.add(ImageSize(row.height, row.width))
    renamed: dict[int, str] = {}
    # A file that kept its name is the likeliest where several are equal.
    kept_names = {PurePosixPath(row.path).name for rows in by_hash.values() for row in rows}
    for path in sorted(paths, key=lambda path: (PurePosixPath(path).name not in kept_names, path)):
        if not by_hash:
            break
        try:
            if folder.header(path).size not in sizes:
                continue
            digest = folder.digest(path)
        except SaywhereError:
            continue
        rows = by_hash.get(digest)
        if rows:
            row = next((row for row in rows if PurePosixPath(row.path).name == PurePosixPath(path).name), rows[0])
            rows.remove(row)
            renamed[row.id] = path
            if not rows:
                del by_hash[digest]
    return renamed
