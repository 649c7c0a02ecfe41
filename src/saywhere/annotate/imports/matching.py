"""Which image of the project a name in an annotation file means."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import PurePosixPath

from saywhere.annotate.db.tables import ImageRow


class ImageMatcher:
    """Finds images of a project by the names that files give them.

    The longest end of a name that only one image's path ends with counts (``train/a.jpg`` means ``a.jpg``, ``a.jpg``
    means ``photos/a.jpg``); without such a one, the same without the suffix, since masks have another one.
    """

    def __init__(self, rows: Iterable[ImageRow]) -> None:
        self._by_path: dict[str, ImageRow] = {}
        self._by_end: dict[str, list[ImageRow]] = defaultdict(list)
        self._by_stem_end: dict[str, list[ImageRow]] = defaultdict(list)
        for row in rows:
            if row.missing:
                continue
            self._by_path[row.path] = row
            for end in _ends(row.path):
                self._by_end[end].append(row)
                self._by_stem_end[_stem(end)].append(row)

    def find(self, name: str) -> ImageRow | None:
        """The image that a name means; None where there is none, or more than one that it could mean."""
        exact = self._by_path.get(name)
        if exact is not None:
            return exact
        end = _longest_known(name, self._by_end)
        return self.find_stem(_stem(name)) if end is None else _only(end, self._by_end[end])

    def find_stem(self, stem: str) -> ImageRow | None:
        """The image that a name without its suffix means; None as for :meth:`find`."""
        end = _longest_known(stem, self._by_stem_end)
        return None if end is None else _only(end, self._by_stem_end[end])


def _longest_known(name: str, known: Mapping[str, list[ImageRow]]) -> str | None:
    return next((end for end in _ends(name) if end in known), None)


def _only(end: str, rows: list[ImageRow]) -> ImageRow | None:
    """The only image, or of several the one whose whole path it is; else nobody can tell."""
    if len(rows) == 1:
        return rows[0]
    whole = [row for row in rows if end in (row.path, _stem(row.path))]
    return whole[0] if len(whole) == 1 else None


def _ends(name: str) -> Iterator[str]:
    """A path, then without its first folder, and so on."""
    parts = name.split("/")
    for first in range(len(parts)):
        yield "/".join(parts[first:])


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))
