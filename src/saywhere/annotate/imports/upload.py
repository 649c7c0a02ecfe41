"""A file or a ZIP of annotations, unpacked within limits, and the annotations that are in it."""

from __future__ import annotations

import stat
import zipfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from saywhere.data import formats
from saywhere.data.files import is_file, safe_name
from saywhere.data.formats.names import MANIFEST
from saywhere.data.formats.voc_boxes import has_boxes
from saywhere.errors import SaywhereError

MAX_UPLOAD_BYTES = 256 << 20
MAX_UNPACKED_BYTES = 2 << 30
MAX_FILES = 200_000
MAX_RATIO = 200  # of a member's size to what it takes in the ZIP
MAX_SOURCES = 50_000  # files and folders of annotations in one import
_CHUNK = 1 << 20


def unpack(archive: Path, folder: Path) -> None:
    """Extract a ZIP into an empty folder.

    Args:
        archive: the ZIP.
        folder: an empty folder.

    Raises:
        SaywhereError: it is no ZIP, is damaged or encrypted, has names that lead out, or is larger than the limits.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            members = [member for member in file.infolist() if not member.is_dir()]
            if len(members) > MAX_FILES:
                raise SaywhereError(f"the ZIP has {len(members):,} files; at most {MAX_FILES:,} are read")
            total = sum(member.file_size for member in members)
            if total > MAX_UNPACKED_BYTES:
                raise SaywhereError(f"the ZIP unpacks to {total / 1e9:.1f} GB; at most 2 GB are read")
            for member in members:
                _extract(file, member, folder)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError, OSError) as error:
        raise SaywhereError(f"the ZIP cannot be read ({error})") from error


def _extract(file: zipfile.ZipFile, member: zipfile.ZipInfo, folder: Path) -> None:
    name = safe_name(member.filename)
    if stat.S_ISLNK(member.external_attr >> 16):
        raise SaywhereError(f"the ZIP has a link, '{name[:100]}'; give the files themselves")
    if member.file_size > max(MAX_RATIO * member.compress_size, _CHUNK):
        raise SaywhereError(f"'{name[:100]}' in the ZIP: taken for a decompression bomb")
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    left = member.file_size
    with file.open(member) as source, path.open("xb") as target:
        while chunk := source.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise SaywhereError(f"'{name[:100]}' in the ZIP: is larger than the ZIP says")
            target.write(chunk)


def find_sources(place: Path, format: str | None = None) -> list[tuple[Path, str]]:
    """The annotations at a place: each file or folder of them, with the name of its format.

    Args:
        place: a file, or a folder with any of the formats in it or in the folders below it.
        format: what they are in; by default each is recognised.

    Raises:
        SaywhereError: nothing there is an annotation file, or there are too many.
    """
    if format is not None:
        return [(place, format)]
    if is_file(place):
        return [(place, formats.recognise(place))]
    found = list(islice(_walk(place), MAX_SOURCES + 1)) or list(_mask_folders(place))
    if len(found) > MAX_SOURCES:
        raise SaywhereError(f"more than {MAX_SOURCES:,} files of annotations; import a part of them")
    if not found:
        raise SaywhereError(
            f"no annotations found; known are {', '.join(formats.READERS)}, and what saywhere prelabel writes"
        )
    return found


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    """The annotations in a folder, and in those below it that are not a part of them."""
    if (folder / "objects.csv").is_file():
        yield folder, "png"
        return
    if (folder / "SegmentationObject").is_dir():
        yield folder, "voc"
        return
    if has_boxes(folder):
        yield folder, "voc"
        if (folder / "Annotations").is_dir():
            return
    has_names = any(folder.glob("*.y*ml")) or (folder / "classes.txt").is_file()
    if has_names and (folder / "labels").is_dir():
        yield folder, "yolo"
        return
    names = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    for path in names:
        if path.suffix.lower() == ".json" and path.name != MANIFEST and path.is_file():
            yield path, formats.recognise(path)
    for path in names:
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)


def _mask_folders(folder: Path) -> Iterator[tuple[Path, str]]:
    """Folders with PNGs, which are taken for index masks where there is nothing else."""
    if any(path.suffix.lower() == ".png" for path in folder.iterdir() if path.is_file()):
        yield folder, "png"
        return
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink() and not path.name.startswith("."):
            yield from _mask_folders(path)


def copy_or_unpack(given: Path, folder: Path) -> Path:
    """Where the annotations of a given file are: those of a ZIP are unpacked into an empty folder.

    Args:
        given: a file, a ZIP or a folder.
        folder: an empty folder.

    Raises:
        SaywhereError: as for :func:`unpack`, or there is nothing.
    """
    if given.is_dir():
        return given
    if not is_file(given):
        raise SaywhereError(f"import '{given}': is not there; give a file, a ZIP or a folder")
    if zipfile.is_zipfile(given):
        unpack(given, folder)
        return folder
    return given
