"""Names of files that annotation files give, and names that stay different when their suffix changes."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

from saywhere.errors import SaywhereError

MAX_NAME_BYTES = 240  # of a name that most file systems take, less those that a suffix needs


def safe_name(name: object) -> str:
    """A file name from an annotation file, which stays within its folder.

    Args:
        name: what the annotation file gives.

    Returns:
        The name with ``/`` between its parts.

    Raises:
        SaywhereError: it is absolute, climbs with ``..``, names a drive, is too long, or is no name at all.
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise SaywhereError(f"file name {name!r}: give a name of printable characters")
    parts = PureWindowsPath(name).parts
    if PurePosixPath(name).is_absolute() or PureWindowsPath(name).anchor or ".." in parts or ":" in name or not parts:
        raise SaywhereError(f"file name {name!r}: leads out of its folder; give one without '..', ':' and root")
    if max(len(part.encode()) for part in parts) > MAX_NAME_BYTES:
        raise SaywhereError(f"file name '{name[:60]}...': a part of it is longer than {MAX_NAME_BYTES} bytes")
    return "/".join(parts)


class UniqueNames:
    """Names without suffix for images, unique also on file systems that ignore case."""

    def __init__(self) -> None:
        self._owners: dict[str, str] = {}

    def claim(self, file_name: str, notes: list[str]) -> str:
        """The image's name without its suffix; with a number, and a note, when another image has this name already."""
        plain = stem = str(PurePosixPath(file_name).with_suffix(""))
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
