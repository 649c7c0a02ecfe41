"""Names of files that annotations are written to: they stay different when their suffix changes."""

from __future__ import annotations

from pathlib import PurePosixPath

MANIFEST = "saywhere-manifest.json"  # what an export holds; it is no annotation file of any format
MAX_STEM_BYTES = 240  # of a name without its suffix: what a file system takes, less a number and a longer suffix


class UniqueNames:
    """Names without suffix for images, unique also on file systems that ignore case."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    def claim(self, file_name: str, notes: list[str]) -> str:
        """The image's name without its suffix; with a number, and a note, when another image has this name already.

        A name so long that another suffix makes it too long for a file system is cut, with a note.
        """
        path = PurePosixPath(file_name)
        cut = path.stem.encode()[:MAX_STEM_BYTES].decode(errors="ignore")
        plain = stem = path.with_name(cut).as_posix()
        if cut != path.stem:
            notes.append(f"photograph '{file_name}': its name is too long for another ending; written as '{plain}'")
        count = 1
        while stem.casefold() in self._owners:
            count += 1
            stem = f"{plain}-{count}"
        if stem != plain:
            other = self._owners[plain.casefold()]
            notes.append(f"photograph '{file_name}': without its ending it is called as '{other}'; written as '{stem}'")
        self._owners[stem.casefold()] = file_name
        return stem


def to_one_line(label: str) -> str:
    """A label on one line, without control characters, for formats that list labels or use XML."""
    return "".join(c for c in " ".join(label.split()) if c.isprintable())
