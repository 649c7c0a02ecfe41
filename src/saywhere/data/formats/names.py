"""File names from files that anyone may have written, and names that stay apart when their ending changes."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

from saywhere.errors import SaywhereError

LONGEST = 240  # bytes of a name that most file systems take, less those that an ending needs


def safe_name(name: object) -> str:
    """A file name from an annotation file, with ``/`` between its parts, when it stays within its folder.

    SaywhereError when it is absolute, climbs with ``..``, names a drive, or is no name at all.
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise SaywhereError(f"file name {name!r}: give a name of printable characters")
    parts = PureWindowsPath(name).parts
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in parts or ":" in name or not parts:
        raise SaywhereError(f"file name {name!r}: leads out of its folder; give one without '..', ':' and root")
    if max(len(part.encode()) for part in parts) > LONGEST:
        raise SaywhereError(f"file name '{name[:60]}...': a part of it is longer than {LONGEST} bytes")
    return "/".join(parts)


class Names:
    """Gives each photograph a name without its ending, of its own even where case does not count."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    def claim(self, file: str, notes: list[str]) -> str:
        """The photograph's name without its ending, or with a number when another already bears it, and a note."""
        plain = stem = str(PurePosixPath(file).with_suffix(""))
        count = 1
        while stem.casefold() in self._owners:
            count += 1
            stem = f"{plain}-{count}"
        if stem != plain:
            other = self._owners[plain.casefold()]
            notes.append(f"photograph '{file}': without its ending it is called as '{other}'; written as '{stem}'")
        self._owners[stem.casefold()] = file
        return stem


def one_line(label: str) -> str:
    """A label for a format that has them in lists or XML: on one line, without control characters."""
    return "".join(c for c in " ".join(label.split()) if c.isprintable())
