"""An annotated image: what every format is read into and written from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from saywhere.core.arrays import BoolArray
from saywhere.core.atomic import copy_file
from saywhere.core.geometry import ImageSize
from saywhere.core.images import read_header
from saywhere.core.rle import RunLengths
from saywhere.data.coco import Id
from saywhere.data.files import is_file
from saywhere.errors import SaywhereError

Extra = Mapping[str, Any]
"""What a file says beyond what is read, by its keys there, as JSON."""
DEFAULT_LABEL = "object"  # the label of an object that has none, where a format asks for one


class _Labelled:
    """The class name of objects with a mask and of boxes. Fields are theirs: the mask, or the box, is the first."""

    __slots__ = ()
    label: str | None

    @property
    def class_name(self) -> str:
        """The label, or :data:`DEFAULT_LABEL`."""
        return self.label or DEFAULT_LABEL


@dataclass(frozen=True, slots=True)
class ObjectAnnotation(_Labelled):
    """One object of an image.

    Attributes:
        region: its pixels.
        label: its class name, None where it has none.
        score: the confidence in it, from 0 to 1, where known.
        author: who or what made the annotation, where known.
        id: its id in the file that it was read from; two annotations are equal without it.
        is_crowd: whether it is a region of several objects that were not told apart.
        extra: what the file says of it beyond this: attributes, flags, a description, keypoints.
        z_order: where objects must not overlap, the one with the higher number is in front, and of two with the same
            number the smaller one.
        measures: the ``area`` and ``bbox`` that a COCO file gives for its polygons, which are written to COCO again.
    """

    region: RunLengths
    label: str | None = None
    score: float | None = None
    author: str | None = None
    id: Id | None = field(default=None, compare=False)
    is_crowd: bool = False
    extra: Extra = field(default_factory=dict, hash=False)
    measures: Extra = field(default_factory=dict, compare=False)
    z_order: int = field(default=0, compare=False)

    @classmethod
    def from_mask(
        cls, mask: BoolArray, label: str | None = None, score: float | None = None, author: str | None = None
    ) -> ObjectAnnotation:
        """An object from its ``(H, W)`` mask."""
        return cls(RunLengths.from_mask(mask), label, score, author)

    @property
    def mask(self) -> BoolArray:
        """``(H, W)`` bool."""
        return self.region.mask()


@dataclass(frozen=True, slots=True)
class BoxAnnotation(_Labelled):
    """A box around an object that has no mask.

    Attributes:
        box: x, y, width and height, in pixels.
        label, score, author, id, is_crowd, extra: as of an :class:`ObjectAnnotation`.
    """

    box: tuple[float, float, float, float]
    label: str | None = None
    score: float | None = None
    author: str | None = None
    id: Id | None = field(default=None, compare=False)
    is_crowd: bool = False
    extra: Extra = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """An image with its objects.

    Attributes:
        file_name: relative to the folder of images, with ``/``.
        size: of the upright image, in pixels.
        objects: its annotations.
        path: where the file lies; None when it is not at hand.
        notes: what could not be read into this form.
        is_turned: whether the file is stored another way than upright; None when its header was not read.
        boxes: objects that have a box and no mask.
        id: its id in the file that it was read from.
        extra: what that file says of it beyond this: licence, date, flags.
        content: the bytes of its file, where the annotations hold these and no file is at hand.
    """

    file_name: str
    size: ImageSize
    objects: tuple[ObjectAnnotation, ...] = ()
    path: Path | None = None
    notes: tuple[str, ...] = ()
    is_turned: bool | None = None
    boxes: tuple[BoxAnnotation, ...] = ()
    id: Id | None = field(default=None, compare=False)
    extra: Extra = field(default_factory=dict, hash=False)
    content: bytes | None = field(default=None, repr=False)

    @property
    def annotations(self) -> tuple[ObjectAnnotation | BoxAnnotation, ...]:
        """The objects, and then the boxes."""
        return (*self.objects, *self.boxes)

    @property
    def has_file(self) -> bool:
        """Whether its file can be copied."""
        return self.path is not None or self.content is not None

    def copy_file(self, dest: Path) -> None:
        """Write its file, if it is at hand; missing folders are made.

        Raises:
            SaywhereError: it cannot be read.
        """
        if self.path is not None:
            copy_file(self.path, dest)
        elif self.content is not None:
            dest.parent.mkdir(parents=True, exist_ok=True)
            dest.write_bytes(self.content)


@dataclass(frozen=True)
class AnnotationSource:
    """What a reader finds.

    Attributes:
        images: each is read when it is called, and raises SaywhereError when its annotations cannot be used.
        labels: the source's own list of class names, where it has one.
        notes: what could not be read of the source as a whole.
        categories: its classes with their ids, as COCO has them, where it has such.
        extra: what it says of itself beyond this: its licences and where it comes from.
    """

    images: Sequence[Callable[[], AnnotatedImage]]
    labels: Sequence[str] = ()
    notes: Sequence[str] = ()
    categories: Sequence[Extra] = ()
    extra: Extra = field(default_factory=dict)


@dataclass(frozen=True)
class WriteOptions:
    """How annotations are written.

    Attributes:
        polygons: outlines instead of masks, where a format has both.
        copy: whether images are copied, where a format holds them.
        labels: class names that come first, in this order, where a format numbers them.
        keep_crowd: crowd regions are written as objects like any other; without it they are left out, but for COCO,
            which has a mark for them.
        categories: classes that keep their ids, for COCO.
        extra: what is written beside images and annotations, for COCO.
        tolerance: how far a simplified polygon may be from the outline, in pixels; 0 keeps every vertex.
        splits: ``train``, ``val`` or ``test`` by the image's name, where a format divides its images. Without it, YOLO
            and VOC name all images as those of training.
    """

    polygons: bool = False
    copy: bool = True
    labels: Sequence[str] = ()
    keep_crowd: bool = False
    categories: Sequence[Extra] = ()
    extra: Extra = field(default_factory=dict)
    tolerance: float = 0.0
    splits: Mapping[str, str] = field(default_factory=dict)


@dataclass
class ClassNumbers:
    """Numbers for class names.

    Attributes:
        initial: class names that are numbered first.
        first: the first number.
        maximum: how many class names there is room for; None when there is no limit.
        numbers: by class name, in the order in which they were asked for.
    """

    initial: Sequence[str]
    first: int = 1
    maximum: int | None = None
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for label in self.initial:
            self.number(label)

    def number(self, label: str) -> int | None:
        """The number of a class name; None when there is no room for it."""
        if label not in self.numbers:
            if self.maximum is not None and len(self.numbers) >= self.maximum:
                return None
            self.numbers[label] = self.first + len(self.numbers)
        return self.numbers[label]


def with_image_file(image: AnnotatedImage, folder: Path) -> AnnotatedImage:
    """An annotated image with the file that it belongs to, or as it is when there is none in ``folder``.

    Raises:
        SaywhereError: the file is no image, or of another size.
    """
    path = folder / image.file_name
    if not is_file(path):
        return image
    header = read_header(path)
    if header.size != image.size:
        raise SaywhereError(
            f"photograph '{path}': is {header.size.width}x{header.size.height} pixels (upright); its masks are "
            f"{image.size.width}x{image.size.height}"
        )
    return replace(image, path=path, is_turned=header.is_turned)


def note_lost_scores(image: AnnotatedImage) -> list[str]:
    """The note that a format has no place for scores and authors, where the image has some."""
    lost = sum(each.score is not None or each.author is not None for each in image.annotations)
    return [f"photograph '{image.file_name}': score or author of {lost} objects left out"] if lost else []


def note_default_labels(image: AnnotatedImage) -> list[str]:
    """The note that objects without a label get :data:`DEFAULT_LABEL`, where the image has some."""
    count = sum(each.label is None for each in image.annotations)
    return (
        [f"photograph '{image.file_name}': {count} objects without a label are called '{DEFAULT_LABEL}'"]
        if count
        else []
    )
