"""One object of one photograph: what every data set yields."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from saywhere.core.arrays import BoolArray


def nothing_ignored() -> None:
    """The ``ignore`` of an object all of whose photograph counts."""
    return None


@dataclass(frozen=True)
class Sample:
    """An object to segment.

    ``name`` is unique in its data set. ``target`` and ``ignore`` read ``(H, W)`` masks when called;
    ``ignore`` gives None when every pixel counts. ``group`` is the photograph's folder: the set it came from.
    ``source`` is the file that the mask is read from, to be named when it is wrong.
    """

    name: str
    photo: Path
    target: Callable[[], BoolArray] = field(repr=False)
    ignore: Callable[[], BoolArray | None] = field(default=nothing_ignored, repr=False)
    label: str | None = None
    phrase: str | None = None
    group: str = ""
    source: Path | None = None
