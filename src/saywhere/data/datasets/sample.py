"""One object of one image: what every dataset yields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from saywhere.core.arrays import BoolArray
from saywhere.core.rle import RunLengths


def nothing_ignored() -> None:
    """The ``ignore`` of an object where every pixel of the image counts."""
    return None


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

    def region(self) -> RunLengths:
        """The mask as run lengths. Those that the dataset stores are not decoded and encoded again."""
        return RunLengths.from_mask(self.target()) if self.encoded is None else self.encoded()
