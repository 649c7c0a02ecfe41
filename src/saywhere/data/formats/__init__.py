"""Annotations in the formats of other programs: in and out, one image in memory at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from saywhere.core.atomic import atomic_output
from saywhere.core.images import read_header
from saywhere.data.files import exists, walk_files
from saywhere.data.formats import coco, label_studio, labelme, png, voc, yolo
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    BoxAnnotation,
    ObjectAnnotation,
    WriteOptions,
)
from saywhere.data.formats.losses import BOXES, CROWDS, EXTRA, IDS, Losses, says_something
from saywhere.data.formats.voc_boxes import has_boxes
from saywhere.errors import SaywhereError

__all__ = [
    "FORMATS", "READERS", "AnnotatedImage", "AnnotationFormat", "AnnotationSource", "BoxAnnotation",
    "ConversionResult", "FaultsError", "ObjectAnnotation", "WriteOptions", "convert", "read", "recognise", "write",
]  # fmt: skip

SNIFFED = 65536  # bytes of a JSON file by which its format is recognised


@dataclass(frozen=True)
class AnnotationFormat:
    """A format of annotations.

    Attributes:
        read: from the place of the annotations, and the folder of the images where that is another.
        write: images to a place; adds to the notes what the format cannot hold.
        holds_images: whether the images are a part of it.
        holds: what it has a place for beside masks: :data:`BOXES`, :data:`CROWDS`, :data:`EXTRA`, :data:`IDS`.
        markers: the files by which a folder in this format is recognised: a name, or a suffix after ``*``.
    """

    read: Callable[[Path, Path | None], AnnotationSource]
    write: Callable[[Iterable[AnnotatedImage], Path, WriteOptions, list[str]], None]
    holds_images: bool
    holds: frozenset[str] = frozenset()
    markers: tuple[str, ...] = ()


FORMATS: Final[Mapping[str, AnnotationFormat]] = {
    "coco": AnnotationFormat(coco.read_coco, coco.write_coco, False, frozenset([BOXES, CROWDS, EXTRA, IDS])),
    "voc": AnnotationFormat(voc.read_voc, voc.write_voc, True, frozenset([BOXES]), ("SegmentationObject",)),
    "yolo": AnnotationFormat(yolo.read_yolo, yolo.write_yolo, True, frozenset([BOXES]), ("data.yaml", "classes.txt")),
    "png": AnnotationFormat(png.read_png, png.write_png, False, frozenset(), (png.TABLE,)),
    "labelme": AnnotationFormat(
        labelme.read_labelme, labelme.write_labelme, True, frozenset([BOXES, EXTRA]), ("*.json",)
    ),
}
"""The formats that are written, and read."""
READERS: Final[Mapping[str, Callable[[Path, Path | None], AnnotationSource]]] = {
    **{name: each.read for name, each in FORMATS.items()},
    "label-studio": label_studio.read_label_studio,
}
"""The formats that are read."""
FILES = ("coco", "labelme", "label-studio", "voc")  # formats of which a single file can be read


@dataclass
class ConversionResult:
    """What was written.

    Attributes:
        images: how many images.
        objects: how many objects.
        notes: what the format could not hold, in plain words.
    """

    images: int = 0
    objects: int = 0
    notes: list[str] = field(default_factory=list)


class FaultsError(SaywhereError):
    """Images whose annotations cannot be used. Nothing was written.

    Attributes:
        faults: a line for each of them.
    """

    def __init__(self, faults: list[str]) -> None:
        super().__init__(f"{len(faults):,} faults, the first: {faults[0]}")
        self.faults = faults


def read(source: Path, format_name: str | None = None, images: Path | None = None) -> AnnotationSource:
    """The annotated images at a place.

    Args:
        source: a COCO JSON file, or a folder in another format.
        format_name: a key of :data:`FORMATS`; by default the one that the place looks like.
        images: the folder of the images, when they are not in their usual place.

    Raises:
        SaywhereError: the place or the format is not known, or the annotations cannot be used as a whole.
    """
    if not exists(source):
        raise SaywhereError(f"source '{source}': not there; give a COCO JSON file or a folder")
    if images and not (exists(images) and images.is_dir()):
        raise SaywhereError(f"images '{images}': no such folder")
    name = format_name or recognise(source)
    if name not in READERS:
        raise SaywhereError(f"format '{name}': not known; one of {', '.join(READERS)}")
    if source.is_file() and name not in FILES:
        raise SaywhereError(f"source '{source}': is a file; {name} is a folder")
    if source.is_dir() and name in ("coco", "label-studio"):
        raise SaywhereError(f"source '{source}': is a folder; give the JSON file in it")
    return READERS[name](source, images)


def recognise(source: Path) -> str:
    """The name of the format that a file or folder looks like.

    Raises:
        SaywhereError: it looks like none.
    """
    if source.suffix.lower() == ".json" and source.is_file():
        return _recognise_json(source)
    if source.suffix.lower() == ".xml" and source.is_file():
        return "voc"
    for name, known in FORMATS.items():
        if source.is_dir() and any(_holds(source, marker) for marker in known.markers):
            return name
    if source.is_dir() and has_boxes(source):
        return "voc"
    raise SaywhereError(f"source '{source}': of no known format; say which with --from, one of {', '.join(READERS)}")


def _recognise_json(source: Path) -> str:
    """The format of a JSON file, by how it begins: LabelMe's has shapes, that of Label Studio is a list."""
    try:
        with source.open("rb") as file:
            start = file.read(SNIFFED).lstrip(b"\xef\xbb\xbf \t\r\n")
    except OSError as error:
        raise SaywhereError(f"source '{source}': cannot be read ({error.strerror or error})") from error
    if start.startswith(b"[") and b"{" in start:
        return "label-studio"
    return "labelme" if b'"shapes"' in start and b'"annotations"' not in start else "coco"


def _holds(folder: Path, marker: str) -> bool:
    """Whether a folder holds a file of this name; or one with the suffix after ``*``, also in the folders in it."""
    if not marker.startswith("*"):
        return (folder / marker).exists()
    return next(walk_files(folder, lambda path: path.suffix == marker[1:]), None) is not None


def _find_format(name: str) -> AnnotationFormat:
    if name not in FORMATS:
        raise SaywhereError(f"format '{name}': not known; one of {', '.join(FORMATS)}")
    return FORMATS[name]


def write(
    images: Iterable[AnnotatedImage], dest: Path, to: str, options: WriteOptions | None = None
) -> ConversionResult:
    """Write annotated images: all of them, or nothing when anything goes wrong.

    Args:
        images: read one after another.
        dest: a file that ends in ``.json`` for COCO, a folder for all other formats. It must not exist.
        to: a key of :data:`FORMATS`.
        options: see :class:`WriteOptions`.

    Raises:
        SaywhereError: something is at ``dest`` already, an image that is to be copied is not at hand, or the disk
            refuses; and whatever ``images`` raises.
    """
    target, used, result = _find_format(to), options or WriteOptions(), ConversionResult()
    if to == "coco" and dest.suffix != ".json":
        raise SaywhereError(f"'{dest}': COCO is one file; give it the ending .json")
    losses = Losses(target.holds, used.keep_crowd)
    with atomic_output(dest) as place:
        target.write(_count(images, result, target.holds_images and used.copy, losses), place, used, result.notes)
    result.notes += losses.of_all(used.extra, used.categories)
    return result


def _count(
    images: Iterable[AnnotatedImage], result: ConversionResult, needs_file: bool, losses: Losses
) -> Iterator[AnnotatedImage]:
    """The images without what the format has no place for; counts them and keeps their notes."""
    turned = []
    for image in images:
        if needs_file and not image.has_file:
            raise SaywhereError(_missing(image))
        is_turned = image.is_turned
        if is_turned is None and image.path:
            is_turned = read_header(image.path).is_turned
        if is_turned:
            turned.append(image.file_name)
        kept, notes = losses.apply(image)
        result.images += 1
        result.objects += len(kept.objects) + len(kept.boxes)
        result.notes += notes
        if image.content is not None and not needs_file:
            result.notes.append(f"photograph '{image.file_name}': lies in the annotations alone, and is not copied")
        yield kept
    if turned:
        result.notes.append(
            f"{len(turned):,} photographs are turned by their EXIF data, the first is '{turned[0]}': masks are for the "
            "upright picture, readers that ignore EXIF see another"
        )


def _missing(image: AnnotatedImage) -> str:
    return f"photograph '{image.file_name}': not there; say where it lies with --images, or leave it out with --no-copy"


def convert(
    source: Path,
    dest: Path,
    to: str,
    format_name: str | None = None,
    images: Path | None = None,
    options: WriteOptions | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    full_paths: bool = False,
) -> ConversionResult:
    """Convert annotations from one format to another; see :func:`read` and :func:`write`.

    Args:
        source: where the annotations are.
        dest: what to write.
        to: the format to write.
        format_name: the format of ``source``, if it cannot be recognised.
        images: the folder of the images, when they are not in their usual place.
        options: see :class:`WriteOptions`.
        progress: called with the number of images that are done, and of all.
        full_paths: name images by their full paths, so that what is written can lie anywhere on this machine.

    Raises:
        FaultsError: the annotations of some images cannot be used. All images are read before it is raised.
        SaywhereError: as :func:`read` and :func:`write`.
    """
    annotations, used = read(source, format_name, images), options or WriteOptions()
    needs_files = full_paths or (_find_format(to).holds_images and used.copy)
    # Labels that are given say how classes are numbered.
    categories = () if used.labels else annotations.categories
    labels = [*used.labels, *annotations.labels]
    used = replace(
        used, labels=labels, categories=[*used.categories, *categories], extra={**annotations.extra, **used.extra}
    )
    others: set[str] = set()
    usable: Iterable[AnnotatedImage] = _usable(annotations, needs_files, progress, others)
    named = (
        (replace(image, file_name=str(image.path.absolute())) for image in usable if image.path)
        if full_paths
        else usable
    )
    result = write(named, dest, to, used)
    result.notes[:0] = annotations.notes
    if others and EXTRA in _find_format(to).holds and to != (format_name or recognise(source)):
        result.notes.append(f"kept as they are, though {to} defines no such keys: {', '.join(sorted(others))}")
    return result


def _usable(
    source: AnnotationSource, needs_files: bool, progress: Callable[[int, int], None], others: set[str]
) -> Iterator[AnnotatedImage]:
    """The images that can be used; FaultsError in the end when some cannot.

    The keys of what else the file says are added to ``others``.
    """
    faults: list[str] = []
    names: set[str] = set()
    for done, read_one in enumerate(source.images, 1):
        try:
            image = read_one()
            if image.file_name in names:
                raise SaywhereError(f"photograph '{image.file_name}': comes twice; give each a name of its own")
            if needs_files and not image.has_file:
                raise SaywhereError(_missing(image))
        except SaywhereError as error:
            faults.append(str(error))
        else:
            names.add(image.file_name)
            for extra in (image.extra, *(each.extra for each in image.annotations)):
                others.update(key for key, value in extra.items() if says_something(value))
            # After the first fault nothing will be kept: the others are only checked.
            if not faults:
                yield image
        progress(done, len(source.images))
    if faults:
        raise FaultsError(faults)
