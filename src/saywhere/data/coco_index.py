"""Large files of COCO JSON: where each entry lies is found once and kept, so that entries are read when needed.

The file is mapped into memory and scanned by msgspec, which builds no Python objects of what is not asked for. The
index lies in the user's cache folder, since data folders are often read-only; it names the file's size and the time of
its last change, and is made anew when these differ.
"""

from __future__ import annotations

import hashlib
import logging
import mmap
from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saywhere.core.rows import RowSequence
from saywhere.data.coco_entries import (
    Entry,
    Id,
    annotation_name,
    class_name_of,
    file_name_of,
    is_crowd,
    only_box,
    segmentation_of,
    size_of,
)
from saywhere.data.coco_structure import CATEGORY, IMAGE, of_images, with_ids
from saywhere.errors import SaywhereError
from saywhere.storage.arrays import KeptArrays, keep_arrays
from saywhere.storage.cache import cache_folder

VERSION = 1
LARGE = 32_000_000  # bytes of a file that is indexed
MASK, CROWD, BOX = 0, 1, 2
"""Kinds of annotations: an object with a mask, a region of several objects, a box without a mask."""
_SHORT = 16  # bytes of a segmentation that may be an empty one


class NotIndexedError(Exception):
    """A file cannot be indexed: it is damaged, is no COCO JSON, or has values that are no strict JSON, as NaN."""


class CocoIndex:
    """Where the entries of a COCO JSON file lie.

    Args:
        path: the file.
        cache: the folder of indices.

    Attributes:
        image_spans: ``(I, 2)``, first byte and the one after the last of each image that can be used.
        annotation_spans: ``(A, 2)``, the same of annotations.
        image_rows: ``(A,)``, which image each annotation is of.
        kinds: ``(A,)``, :data:`MASK`, :data:`CROWD` or :data:`BOX`.
        categories: ``(A,)``, which category each annotation has; -1 for one that is not there.
        about: what the file has beside these lists, its faults, and what hinders it from being measured or trained on.

    Raises:
        NotIndexedError: it cannot be indexed.
        SaywhereError: an id is of the wrong kind.
    """

    def __init__(self, path: Path, cache: Path) -> None:
        self.path, self._cache = path, cache
        try:
            status = path.stat()
            with path.open("rb") as file:
                self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError) as error:
            raise NotIndexedError(str(error)) from error
        place = str(path.resolve())
        size = status.st_size
        self.key = {"version": VERSION, "path": place, "size": size, "changed": status.st_mtime_ns}
        kept = keep_arrays(cache / f"{hashlib.sha256(place.encode()).hexdigest()[:24]}.index", self.key, self._build)
        self.image_spans, self.annotation_spans = kept.arrays["image_spans"], kept.arrays["annotation_spans"]
        self.image_rows, self.kinds = kept.arrays["image_rows"], kept.arrays["kinds"]
        self.categories, self.about = kept.arrays["categories"], kept.about

    def __reduce__(self) -> tuple[type[CocoIndex], tuple[Path, Path]]:
        return CocoIndex, (self.path, self._cache)  # a map of memory is not copied to another process

    def image(self, row: int) -> Entry:
        """The entry of an image."""
        return self._entry(self.image_spans[row])

    def annotation(self, row: int) -> Entry:
        """An annotation."""
        return self._entry(self.annotation_spans[row])

    @cached_property
    def row_of_image(self) -> Mapping[Id, int]:
        """The rows of the images by their ids."""
        return {self.image(row)["id"]: row for row in range(len(self.image_spans))}

    def _entry(self, span: NDArray[np.int64]) -> Entry:
        import msgspec

        try:
            entry = msgspec.json.decode(self._content[int(span[0]) : int(span[1])])
            assert isinstance(entry, dict)
            return entry
        except (msgspec.MsgspecError, ValueError, AssertionError) as error:
            raise SaywhereError(f"file '{self.path}': was changed while it was read; start again") from error

    def _build(self) -> KeptArrays:
        # Strict JSON alone: everything else is left to Python's own reader.
        try:
            import msgspec

            logging.getLogger("saywhere").warning("file '%s': is indexed, once", self.path)
            return _scan(self._content)
        except (ImportError, ValueError, RecursionError) as error:
            raise NotIndexedError(str(error)) from error
        except Exception as error:
            if isinstance(error, msgspec.MsgspecError):
                raise NotIndexedError(str(error)) from error
            raise


def open_index(path: Path, cache: Path | None = None) -> CocoIndex | None:
    """The index of a large COCO JSON file; None for a file that is small or cannot be indexed.

    Args:
        path: the file.
        cache: the folder of indices; by default one in the user's cache folder.

    Raises:
        SaywhereError: an id is of the wrong kind.
    """
    try:
        if path.stat().st_size < LARGE:
            return None
        return CocoIndex(path, cache or cache_folder(None, "coco"))
    except (NotIndexedError, OSError):
        return None


class LazyImages(Mapping[Id, Entry]):
    """The images of an index by their ids; each entry is read when it is asked for."""

    def __init__(self, index: CocoIndex) -> None:
        self._index = index

    def __getitem__(self, name: Id) -> Entry:
        return self._index.image(self._index.row_of_image[name])

    def __iter__(self) -> Iterator[Id]:
        return iter(self._index.row_of_image)

    def __len__(self) -> int:
        return len(self._index.image_spans)


class LazyAnnotations(RowSequence[Entry]):
    """The annotations of an index; each is read when it is asked for."""

    def __init__(self, index: CocoIndex) -> None:
        self._index = index

    def __len__(self) -> int:
        return len(self._index.annotation_spans)

    def row(self, row: int) -> Entry:
        return self._index.annotation(row)


def _scan(content: mmap.mmap) -> KeptArrays:
    """Find the entries of a file and check their structure."""
    import msgspec

    raw = msgspec.json.decode(content, type=dict[str, msgspec.Raw])
    base = _address(content)
    others = {key: msgspec.json.decode(value) for key, value in raw.items() if key not in ("images", "annotations")}
    images = msgspec.json.decode(raw["images"], type=list[msgspec.Raw])
    annotations = msgspec.json.decode(raw["annotations"], type=list[msgspec.Raw])
    del raw
    faults: list[str] = []
    scanned = _Scanned(faults, others.get("categories"))
    image_spans = np.zeros((len(images), 2), np.int64)
    rows: dict[Id, int] = {}
    for row, name, entry in with_ids(map(msgspec.json.decode, images), IMAGE, faults):
        image_spans[len(rows)] = _span(images[row], base)
        rows[name] = len(rows)
        scanned.add_image(entry)
    del images
    read = _annotation_reader()
    spans = np.zeros((len(annotations), 2), np.int64)
    columns = np.zeros((3, len(annotations)), np.int32)
    count = 0
    for row, annotation in of_images(map(read, annotations), rows, faults):
        spans[count] = _span(annotations[row], base)
        columns[:, count] = scanned.add(annotation, rows[annotation["image_id"]])
        count += 1
    arrays: dict[str, NDArray[Any]] = {
        "image_spans": image_spans[: len(rows)],
        "annotation_spans": spans[:count],
        "image_rows": columns[0, :count],
        "kinds": columns[1, :count].astype(np.uint8),
        "categories": columns[2, :count],
    }
    return KeptArrays(arrays, {"others": others, "faults": faults, "unusable": scanned.unusable})


class _Scanned:
    """Finds the first annotation that cannot be measured or trained on, and what each is."""

    def __init__(self, faults: list[str], categories: Any) -> None:
        given = categories if isinstance(categories, list) else []
        self._categories = {name: row for row, (_, name, _) in enumerate(with_ids(given, CATEGORY, faults))}
        self._names: dict[Id, str | None] = dict.fromkeys(self._categories)
        self._image_ids: list[Id] = []
        self._image_faults: dict[int, str] = {}
        self.unusable = ""

    def add_image(self, image: Entry) -> None:
        """Check the next image."""
        try:
            size_of(image)
            file_name_of(image)
        except SaywhereError as error:
            self._image_faults[len(self._image_ids)] = str(error)
        self._image_ids.append(image["id"])

    def add(self, annotation: Entry, image: int) -> tuple[int, int, int]:
        """The row of its image, its kind and the row of its category."""
        category = annotation["category_id"]
        known = self._categories.get(category, -1) if isinstance(category, (int, float, str)) else -1
        kind = CROWD if is_crowd(annotation) else BOX if only_box(annotation) is not None else MASK
        if kind == MASK and not self.unusable and (fault := self._fault(annotation, image)):
            name = annotation_name(annotation)
            self.unusable = f"{name} of image {self._image_ids[image]}: {fault}"
        return image, kind, known

    def _fault(self, annotation: Entry, image: int) -> str:
        """What hinders an annotation from being an object to segment, in the order of :func:`coco_sample`."""
        if annotation["id"] is None:
            return "an id is needed"
        if image in self._image_faults:
            return self._image_faults[image]
        try:
            segmentation_of(annotation)
            class_name_of(annotation, self._names)
        except SaywhereError as error:
            return str(error)
        return ""


def _annotation_reader() -> Callable[[Any], Any]:
    """A function that reads of an annotation what the index needs; the segmentation's vertices are passed over."""
    import msgspec

    some = msgspec.defstruct(
        "Some",
        [*((key, Any, None) for key in ("id", "image_id", "category_id", "iscrowd", "bbox")),
         ("segmentation", msgspec.Raw, msgspec.Raw(b"null"))],
        gc=False,
    )  # fmt: skip
    decode = msgspec.json.Decoder(some).decode

    def read(raw: Any) -> Any:
        try:
            found: Any = decode(raw)
        except msgspec.ValidationError:
            return None  # no object
        short = len(memoryview(found.segmentation)) < _SHORT
        return {
            "id": found.id, "image_id": found.image_id, "category_id": found.category_id, "iscrowd": found.iscrowd,
            "bbox": found.bbox, "segmentation": msgspec.json.decode(found.segmentation) if short else ["vertices"],
        }  # fmt: skip

    return read


def _address(content: Any) -> int:
    """Where a buffer begins in memory."""
    return int(np.frombuffer(content, np.uint8).__array_interface__["data"][0])


def _span(raw: Any, base: int) -> tuple[int, int]:
    """The first byte of a part of the file, and the one after its last."""
    view = np.frombuffer(raw, np.uint8)
    start = int(view.__array_interface__["data"][0]) - base
    return start, start + len(view)
