"""Names of files that annotation files give, and the files in a folder."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import unquote

from saywhere.core.images import is_image_name
from saywhere.errors import SaywhereError

MAX_PART_BYTES = 255  # of a file's or a folder's name, as most file systems take them
MAX_NAME_BYTES = 2048  # of a file's name with its folders
MAX_FOLDERS = 100_000  # in one folder, with those that links lead to
_CONTROL = ("Cc", "Cs")  # Unicode's categories of control characters and of halves of surrogate pairs
_DRIVE = re.compile("[A-Za-z]:")


def check_file_name(name: object) -> str:
    """A file name from an annotation file, with ``/`` between its parts also where Windows wrote it.

    Raises:
        SaywhereError: it is no text, has control characters, or is too long for a file system.
    """
    if not isinstance(name, str) or not name.strip() or any(unicodedata.category(c) in _CONTROL for c in name):
        shown = repr(name) if len(repr(name)) <= 100 else f"{repr(name)[:100]}..."
        raise SaywhereError(f"file name {shown}: give a text without control characters")
    text = name.replace("\\", "/")
    if max(len(part.encode()) for part in text.split("/")) > MAX_PART_BYTES or len(text.encode()) > MAX_NAME_BYTES:
        raise SaywhereError(
            f"file name '{name[:60]}...': longer than file systems take ({MAX_PART_BYTES} bytes, with its folders "
            f"{MAX_NAME_BYTES:,})"
        )
    return text


def leads_out(name: str) -> bool:
    """Whether a name with ``/`` between its parts may be of a file outside the folder that it is relative to."""
    # In the names of Windows, a colon is also that of a stream of a file.
    has_colon = ":" in name if os.name == "nt" else _DRIVE.match(name) is not None
    return has_colon or name.startswith("/") or ".." in name.split("/") or not name.strip("./")


def safe_name(name: object) -> str:
    """A file name from an annotation file, which stays within its folder.

    Args:
        name: what the annotation file gives.

    Returns:
        The name with ``/`` between its parts.

    Raises:
        SaywhereError: it is absolute, climbs with ``..``, names a drive, is too long, or is no name at all.
    """
    text = check_file_name(name)
    if leads_out(text):
        raise SaywhereError(
            f"file name {name!r}: leads out of its folder; give one without '..' and root, or say with --images in "
            "which folder the file lies"
        )
    return "/".join(_parts(text))


def find_image(name: object, images: Path | None, folder: Path) -> tuple[str, str | None]:
    """The file that an annotation file means, in the folder where the images are.

    Programs write names with the folders of the machine that they ran on. Where a folder is named, the longest end of
    such a name counts that is a file in it. A name in another normal form of Unicode (macOS decomposes letters with
    accents) is that of the same file.

    Args:
        name: what the annotation file gives.
        images: the folder of the images that the user names, if any.
        folder: the folder of the images otherwise.

    Returns:
        The name relative to the folder, with ``/``; and a note where it is another than the one given.

    Raises:
        SaywhereError: it is no name, or one that leads out of the folder.
    """
    text, place = check_file_name(name), images or folder
    whole = not leads_out(text)
    parts = _parts(_DRIVE.sub("", text, count=1) if not whole else text)
    ends = ["/".join(parts[i:]) for i in range(len(parts) if images else min(1, len(parts)))]
    for end in ends if images or whole else []:
        for variant in dict.fromkeys([end, *_variants(end)]):
            if not leads_out(variant) and is_file(place / variant):
                changed = variant != "/".join(_parts(text)) or not whole
                return variant, f"is named {name!r}; taken for '{variant}' in '{place}'" if changed else None
    if whole:
        return "/".join(parts), None
    if images:
        raise SaywhereError(
            f"file name {name!r}: leads out of its folder, and no end of it is the name of a file in '{images}'"
        )
    return safe_name(name), None


def _variants(name: str) -> Iterator[str]:
    """Other spellings of the same name: normal forms of Unicode, and percent signs as in addresses."""
    for form in ("NFC", "NFD"):
        yield unicodedata.normalize(form, name)
    if "%" in name:
        plain = unquote(name)
        if "\0" not in plain:
            yield plain


def _parts(name: str) -> list[str]:
    return [part for part in name.split("/") if part not in ("", ".", "..")]


def exists(path: Path) -> bool:
    """Whether something is there; nothing is at a path that is too long."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


def is_file(path: Path) -> bool:
    """Whether a file is there; a path that no file can have is none."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_hidden(path: Path) -> bool:
    """Whether a name begins with a dot, as those of editors and of macOS (``._a.json``) do."""
    return path.name.startswith(".")


def walk_files(folder: Path, matches: Callable[[Path], bool]) -> Iterator[str]:
    """The files in a folder and in all folders below it, with those that links lead to; hidden ones are left out.

    A link to a folder that it lies in is not followed again.

    Args:
        folder: where to look.
        matches: which files count.

    Yields:
        Paths relative to the folder, with ``/``; the files of a folder sorted, then those of its folders.

    Raises:
        SaywhereError: links lead in circles through more than :data:`MAX_FOLDERS` folders.
    """
    # With each folder, the folders that it lies in, by which circles of links are recognised.
    waiting: list[tuple[Path, frozenset[tuple[int, int]]]] = [(folder, frozenset())]
    visited = 0
    while waiting:
        current, above = waiting.pop()
        visited += 1
        if visited > MAX_FOLDERS:
            raise SaywhereError(f"'{folder}': more than {MAX_FOLDERS:,} folders; its links may lead in circles")
        try:
            status = current.stat()
            entries = sorted(entry for entry in current.iterdir() if not is_hidden(entry))
        except OSError:
            continue
        identity = status.st_dev, status.st_ino
        if identity in above:
            continue
        yield from (entry.relative_to(folder).as_posix() for entry in entries if matches(entry) and is_file(entry))
        waiting += [(entry, above | {identity}) for entry in reversed(entries) if _is_folder(entry)]


def list_files(folder: Path, suffix: str) -> list[str]:
    """The files with a suffix, in any case; see :func:`walk_files`. Sorted."""
    return sorted(walk_files(folder, lambda path: path.suffix.lower() == suffix))


def list_images(folder: Path) -> list[str]:
    """The image files; see :func:`walk_files`. Sorted."""
    return sorted(walk_files(folder, is_image_name))


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False
