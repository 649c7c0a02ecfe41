"""An annotated photograph: what every format is read into and written from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from saywhere.core.arrays import BoolArray
from saywhere.core.images import MOST_PIXELS, image_size
from saywhere.core.rle import RunLengths
from saywhere.errors import SaywhereError

NO_LABEL = "object"  # what an object without a label is called where a format asks for one


@dataclass(frozen=True, slots=True)
class Object:
    """One object: its pixels, what it is, how sure that is (a score in [0, 1]) and who says so, where known."""

    region: RunLengths
    label: str | None = None
    score: float | None = None
    author: str | None = None

    @classmethod
    def of(
        cls, mask: BoolArray, label: str | None = None, score: float | None = None, author: str | None = None
    ) -> Object:
        """An object from its ``(H, W)`` mask."""
        return cls(RunLengths.from_mask(mask), label, score, author)

    @property
    def mask(self) -> BoolArray:
        """``(H, W)`` bool."""
        return self.region.mask()

    @property
    def named(self) -> str:
        return self.label or NO_LABEL


@dataclass(frozen=True, slots=True)
class AnnotatedImage:
    """A photograph's name (with ``/``, from the folder of photographs), size in pixels (upright) and objects.

    ``path`` is where it lies, None when it is not at hand. ``notes`` say what could not be read into this form.
    """

    file: str
    width: int
    height: int
    objects: tuple[Object, ...] = ()
    path: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Source:
    """What a reader found: photographs, each of which is read when called, and the list of labels if there is one.

    Calling raises SaywhereError when that photograph's annotations cannot be used.
    """

    photos: Sequence[Callable[[], AnnotatedImage]]
    labels: Sequence[str] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True)
class WriteOptions:
    """How to write: outlines instead of masks where a format has both; photographs copied where a format holds them.

    ``labels`` come first, in this order, in a format that numbers them.
    """

    polygons: bool = False
    copy: bool = True
    labels: Sequence[str] = ()


@dataclass
class Classes:
    """Numbers for labels: those ``known`` beforehand first, others as they come, ``most`` at most."""

    known: Sequence[str]
    first: int = 1
    most: int | None = None
    numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for label in self.known:
            self.number(label)

    def number(self, label: str) -> int | None:
        """The label's number; None when there is no room for it."""
        if label not in self.numbers:
            if self.most is not None and len(self.numbers) >= self.most:
                return None
            self.numbers[label] = self.first + len(self.numbers)
        return self.numbers[label]


def checked_size(width: object, height: object) -> tuple[int, int]:
    """Width and height that a file claims; SaywhereError when they are not those of a photograph."""
    whole = [int(v) for v in (width, height) if isinstance(v, (int, float)) and 1 <= v <= MOST_PIXELS and v == int(v)]
    if len(whole) < 2 or whole[0] * whole[1] > MOST_PIXELS:
        raise SaywhereError(f"width {width!r}, height {height!r}: give whole pixels, {MOST_PIXELS:,} at most")
    return whole[0], whole[1]


def checked_label(label: object) -> str | None:
    """A label that a file gives, None when it is left out or empty; SaywhereError when it is no text."""
    if label is None or label == "":
        return None
    try:
        if isinstance(label, str):
            label.encode()
            return label
    except UnicodeEncodeError:
        pass
    raise SaywhereError(f"label {label!r}: give text")


def checked_score(score: object) -> float | None:
    """A score that a file gives, None when it is left out; SaywhereError when it is no number in [0, 1]."""
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0.0 <= score <= 1.0:
        raise SaywhereError(f"score {score!r}: give a number from 0 to 1")
    return float(score)


def find_image(folder: Path, file: str, size: tuple[int, int]) -> Path | None:
    """Where a photograph lies, None when it is not there; SaywhereError when it is not one or of another size."""
    path = folder / file
    if not path.is_file():
        return None
    found = image_size(path)
    if found != size:
        raise SaywhereError(
            f"photograph '{path}': is {found[0]}x{found[1]} pixels (upright); its masks are {size[0]}x{size[1]}"
        )
    return path


def without_score(photo: AnnotatedImage) -> list[str]:
    """The note that a format has no place for scores and authors, where the photograph has some."""
    lost = sum(one.score is not None or one.author is not None for one in photo.objects)
    return [f"photograph '{photo.file}': score or author of {lost} objects left out"] if lost else []


def without_label(photo: AnnotatedImage) -> list[str]:
    """The note that objects without a label get one, where the photograph has some."""
    count = sum(one.label is None for one in photo.objects)
    return [f"photograph '{photo.file}': {count} objects without a label are called '{NO_LABEL}'"] if count else []
