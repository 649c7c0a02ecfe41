"""VOC's XML files alone, as programs for boxes write them: boxes, and no masks."""

from __future__ import annotations

from functools import partial
from pathlib import Path, PurePosixPath
from xml.etree import ElementTree

from saywhere.core.geometry import ImageSize
from saywhere.core.images import IMAGE_SUFFIXES, read_header
from saywhere.data.files import is_file, list_files, safe_name
from saywhere.data.formats.annotated_image import AnnotatedImage, AnnotationSource, with_image_file
from saywhere.data.formats.voc_xml import MAX_BYTES, read_boxes
from saywhere.errors import SaywhereError

ANNOTATIONS = "Annotations"


def has_boxes(folder: Path) -> bool:
    """Whether a folder has XML files of VOC: in ``Annotations``, or beside the images as labelImg writes them."""
    place = folder / ANNOTATIONS
    return any(is_file(path) and _is_annotation(path) for path in (place if place.is_dir() else folder).glob("*.xml"))


def _is_annotation(path: Path) -> bool:
    """Whether a file begins as VOC's XML does."""
    try:
        with path.open("rb") as file:
            return b"<annotation" in file.read(1000)
    except OSError:
        return False


def read_voc_boxes(source: Path, images: Path | None) -> AnnotationSource:
    """The images of XML files, with their boxes.

    Args:
        source: a folder of XML files, the folder around ``Annotations``, or one XML file.
        images: the folder of the images; by default ``JPEGImages``, or where the XML files are.

    Raises:
        SaywhereError: there is no XML file.
    """
    if source.is_file():
        place, names = source.parent, [source.name]
    else:
        nested = (source / ANNOTATIONS).is_dir()
        place = source / ANNOTATIONS if nested else source
        found = list_files(place, ".xml") if nested else sorted(path.name for path in place.glob("*.xml"))
        names = [name for name in found if _is_annotation(place / name)]
    if not names:
        raise SaywhereError(f"source '{source}': no XML file of VOC; expected <annotation> with boxes")
    usual = source / "JPEGImages"
    folder = images or (usual if usual.is_dir() else place)
    return AnnotationSource([partial(_read_image, place, name, folder) for name in names])


def _read_image(place: Path, name: str, folder: Path) -> AnnotatedImage:
    path, stem = place / safe_name(name), str(PurePosixPath(safe_name(name)).with_suffix(""))
    root = _read_root(path)
    given = PurePosixPath((root.findtext("filename") or "").replace("\\", "/")).suffix
    suffixes = [given, *IMAGE_SUFFIXES] if given.lower() in IMAGE_SUFFIXES else list(IMAGE_SUFFIXES)
    variants = [variant for suffix in suffixes for variant in (suffix, suffix.upper())]
    suffix = next((one for one in variants if is_file(folder / f"{stem}{one}")), suffixes[0] if given else ".jpg")
    boxes, notes = read_boxes(path, [])
    size = _size_of(root) or _size_of_file(folder / f"{stem}{suffix}", path)
    lines = tuple(f"photograph '{stem}': {note}" for note in notes)
    return with_image_file(AnnotatedImage(f"{stem}{suffix}", size, notes=lines, boxes=boxes), folder)


def _read_root(path: Path) -> ElementTree.Element:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES:,} bytes")
        return ElementTree.fromstring(path.read_bytes())
    except (OSError, ElementTree.ParseError, ValueError, LookupError, RecursionError) as error:
        raise SaywhereError(f"'{path}': cannot be read as VOC's XML ({' '.join(str(error).split())})") from error


def _size_of(root: ElementTree.Element) -> ImageSize | None:
    """What the file says of the image's size; None where it says nothing, as some programs write 0."""
    try:
        height, width = (int(root.findtext(f"size/{side}") or "0") for side in ("height", "width"))
    except ValueError:
        return None
    return ImageSize(height, width) if min(height, width) > 0 else None


def _size_of_file(image: Path, path: Path) -> ImageSize:
    if not is_file(image):
        raise SaywhereError(f"'{path}': says no size of its image, which is not there; add <size>, or the image")
    return read_header(image).size
