"""Annotations in the formats that others read and write: in and out, one photograph in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from saywhere.core.images import is_turned
from saywhere.data.formats import coco, labelme, png, voc, yolo
from saywhere.data.formats.annotated_image import AnnotatedImage, Object, Source, WriteOptions
from saywhere.errors import SaywhereError
from saywhere.storage.atomic import whole

__all__ = ["FORMATS", "AnnotatedImage", "FaultsError", "Object", "Outcome", "WriteOptions", "convert", "read", "write"]


@dataclass(frozen=True)
class Format:
    """How a format is read (its place, the folder of photographs when it is another) and written.

    ``copies``: it holds the photographs too. ``sign`` is a file or folder by which a folder of this format is known.
    """

    read: Callable[[Path, Path | None], Source]
    write: Callable[[Iterable[AnnotatedImage], Path, WriteOptions, list[str]], None]
    copies: bool
    sign: str


FORMATS: Final[Mapping[str, Format]] = {
    "coco": Format(coco.read_coco, coco.write_coco, False, ""),
    "voc": Format(voc.read_voc, voc.write_voc, True, "SegmentationObject"),
    "yolo": Format(yolo.read_yolo, yolo.write_yolo, True, "data.yaml"),
    "png": Format(png.read_png, png.write_png, False, png.TABLE),
    "labelme": Format(labelme.read_labelme, labelme.write_labelme, True, "**/*.json"),
}


@dataclass
class Outcome:
    """How much was written, and in plain words what the format could not hold."""

    photos: int = 0
    objects: int = 0
    notes: list[str] = field(default_factory=list)


class FaultsError(SaywhereError):
    """Photographs whose annotations cannot be used: all of them, in ``faults``. Nothing was written."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__(f"{len(faults):,} faults, the first: {faults[0]}")
        self.faults = faults


def read(source: Path, form: str | None = None, photos: Path | None = None) -> Source:
    """The annotated photographs at a place, in the named format or the one that it looks like.

    Raises SaywhereError when the place or the format is not known, or it cannot be used as a whole.
    """
    if not source.exists():
        raise SaywhereError(f"source '{source}': not there; give a COCO JSON file or a folder")
    if photos and not photos.is_dir():
        raise SaywhereError(f"photos '{photos}': no such folder")
    name = form or recognise(source)
    if source.is_file() and name not in ("coco", "labelme"):
        raise SaywhereError(f"source '{source}': is a file; {name} is a folder")
    if source.is_dir() and name == "coco":
        raise SaywhereError(f"source '{source}': is a folder; give the COCO JSON file in it")
    return _known(name).read(source, photos)


def recognise(source: Path) -> str:
    """The name of the format that a file or folder looks like; SaywhereError when it looks like none."""
    if source.suffix == ".json" and source.is_file():
        return "coco"
    for name, form in FORMATS.items():
        if source.is_dir() and form.sign and next(source.glob(form.sign), None):
            return name
    raise SaywhereError(f"source '{source}': of no known format; say which with --from, one of {', '.join(FORMATS)}")


def _known(name: str) -> Format:
    if name not in FORMATS:
        raise SaywhereError(f"format '{name}': not known; one of {', '.join(FORMATS)}")
    return FORMATS[name]


def write(photos: Iterable[AnnotatedImage], dest: Path, to: str, how: WriteOptions | None = None) -> Outcome:
    """Write annotated photographs to ``dest`` in the named format: all of them, or nothing when anything goes wrong.

    Raises SaywhereError when something is at ``dest`` already, a photograph that is to be copied is not at hand, or
    the disk refuses; and what ``photos`` raises.
    """
    form, outcome = _known(to), Outcome()
    if to == "coco" and dest.suffix != ".json":
        raise SaywhereError(f"'{dest}': COCO is one file; give it the ending .json")
    with whole(dest) as place:
        used = how or WriteOptions()
        form.write(_counted(photos, outcome, form.copies and used.copy), place, used, outcome.notes)
    return outcome


def _counted(photos: Iterable[AnnotatedImage], outcome: Outcome, needed: bool) -> Iterator[AnnotatedImage]:
    """The same photographs; counts them and keeps their notes."""
    turned = []
    for photo in photos:
        if needed and photo.path is None:
            raise SaywhereError(_missing(photo))
        if photo.path and is_turned(photo.path):
            turned.append(photo.file)
        outcome.photos += 1
        outcome.objects += len(photo.objects)
        outcome.notes += photo.notes
        yield photo
    if turned:
        outcome.notes.append(
            f"{len(turned):,} photographs are turned by their EXIF data, the first is '{turned[0]}': masks are for the "
            "upright picture, readers that ignore EXIF see another"
        )


def _missing(photo: AnnotatedImage) -> str:
    return f"photograph '{photo.file}': not there; say where it lies with --photos, or do without it with --no-copy"


def convert(
    source: Path,
    dest: Path,
    to: str,
    form: str | None = None,
    photos: Path | None = None,
    how: WriteOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Outcome:
    """Annotations at ``source`` to ``dest`` in the format ``to``; see :func:`read` and :func:`write`.

    Every photograph is looked at even when one cannot be used: FaultsError names all that cannot. ``progress`` is told
    how many of how many are done.
    """
    found, used = read(source, form, photos), how or WriteOptions()
    copies = _known(to).copies and used.copy
    outcome = write(_usable(found, copies, progress), dest, to, replace(used, labels=[*used.labels, *found.labels]))
    outcome.notes[:0] = found.notes
    return outcome


def _usable(found: Source, copies: bool, progress: Callable[[int, int], None]) -> Iterator[AnnotatedImage]:
    """The photographs that can be used; FaultsError in the end when some cannot."""
    faults: list[str] = []
    seen: set[str] = set()
    for done, photo_of in enumerate(found.photos, 1):
        try:
            photo = photo_of()
            if photo.file in seen:
                raise SaywhereError(f"photograph '{photo.file}': comes twice; give each a name of its own")
            if copies and photo.path is None:
                raise SaywhereError(_missing(photo))
        except SaywhereError as error:
            faults.append(str(error))
        else:
            seen.add(photo.file)
            # After the first fault nothing will be kept: the others are only looked at.
            if not faults:
                yield photo
        progress(done, len(found.photos))
    if faults:
        raise FaultsError(faults)
