"""One object of one image: what every dataset yields."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.rle import RunLengths
from saywhere.core.rows import RowSequence


def nothing_ignored() -> None:
    """The ``ignore`` of an object where every pixel of the image counts."""
    return None


class ImageMember(Hashable, Protocol):
    """An image in a larger file."""

    def content(self) -> bytes:
        """The bytes of the image's own file."""

    def read_image(self) -> ImageArray:
        """Its ``(H, W, 3)`` pixels."""


@dataclass(frozen=True)
class Sample:
    """An object to segment.

    Attributes:
        name: unique in its dataset.
        image_path: the image file.
        target: reads the object's ``(H, W)`` mask when called.
        ignore: reads the ``(H, W)`` mask of the pixels that are not counted when called; None when all are.
        label: the class name.
        phrase: what a person would say to mean this object.
        expressions: all phrases that people gave for it, the phrase among them; empty without any.
        group: the folder of the image: the dataset that it came from.
        source: the file that the mask is read from, to be named when it is wrong.
        encoded: reads the mask's run lengths when called, for datasets that store these; else None.
        member: what the image is read from where it is no file of its own (``read_image``, ``content``); else None.
    """

    name: str
    image_path: Path
    target: Callable[[], BoolArray] = field(repr=False)
    ignore: Callable[[], BoolArray | None] = field(default=nothing_ignored, repr=False)
    label: str | None = None
    phrase: str | None = None
    expressions: tuple[str, ...] = ()
    group: str = ""
    source: Path | None = None
    encoded: Callable[[], RunLengths] | None = field(default=None, repr=False)
    member: ImageMember | None = field(default=None, repr=False)

    def region(self) -> RunLengths:
        """The mask as run lengths. Those that the dataset stores are not decoded and encoded again."""
        return RunLengths.from_mask(self.target()) if self.encoded is None else self.encoded()


class SampleTable(RowSequence[Sample]):
    """Objects of a dataset that is too large for a list: a sample is made when it is asked for.

    Attributes:
        images: ``(N,)``, the number of each object's image.
        labels: ``(N,)``, the number of each object's label in ``names``.
        names: labels; None for objects without one.
        place: the file or folder, as text.
        key: what the objects depend on, as JSON can hold it: the same key, the same objects.
    """

    images: NDArray[np.int32]
    labels: NDArray[np.int32]
    names: Sequence[str | None]
    place: str
    key: Any

    @abstractmethod
    def image_path(self, image: int) -> Path:
        """The file of an image, by its number."""

    def image_member(self, image: int) -> ImageMember | None:
        """What an image is read from where it is no file of its own."""
        return None

    def group(self, image: int) -> str:
        """The folder that an image came from."""
        return self.image_path(image).parent.name

    def __len__(self) -> int:
        return len(self.images)


def numbered(values: Iterable[Any]) -> tuple[NDArray[np.int32], list[Any]]:
    """Each value's number in the order in which they first come, and the values.

    Example:
        >>> numbered(["b", "a", "b"])
        (array([0, 1, 0], dtype=int32), ['b', 'a'])
    """
    numbers: dict[Any, int] = {}
    rows = np.fromiter((numbers.setdefault(value, len(numbers)) for value in values), np.int32)
    return rows, list(numbers)
