"""What can be chosen of an export."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

from saywhere.data.split import Shares
from saywhere.errors import SaywhereError

MAX_TOLERANCE = 100.0  # pixels
ExportFormat = Literal["coco", "coco-polygons", "voc", "yolo", "yolo-boxes", "labelme", "labelme-polygons", "png"]


@dataclass(frozen=True)
class Layout:
    """A format with the choices that it leaves.

    Attributes:
        format: a key of :data:`saywhere.data.formats.FORMATS`.
        polygons: outlines instead of masks.
        boxes: the boxes of objects instead of their masks.
    """

    format: str
    polygons: bool = False
    boxes: bool = False

    @property
    def has_outlines(self) -> bool:
        """Whether objects are written as outlines, which can be simplified."""
        return self.polygons or (self.format == "yolo" and not self.boxes)


LAYOUTS: Final[Mapping[str, Layout]] = {
    "coco": Layout("coco"),
    "coco-polygons": Layout("coco", polygons=True),
    "voc": Layout("voc"),
    "yolo": Layout("yolo"),
    "yolo-boxes": Layout("yolo", boxes=True),
    "labelme": Layout("labelme"),
    "labelme-polygons": Layout("labelme", polygons=True),
    "png": Layout("png"),
}
"""The exports by name."""


@dataclass(frozen=True)
class ExportOptions:
    """The options of an export.

    Attributes:
        format: a key of :data:`LAYOUTS`.
        only_done: leave out images that are not done.
        images: put the images into it.
        split: shares of training, validation and test; None: no split.
        simplify: how far a simplified outline may be from the true one, in pixels; 0 keeps every vertex.
        only_approved: leave out images that are not approved as they are now.
    """

    format: str = "coco"
    only_done: bool = True
    images: bool = False
    split: Shares | None = None
    simplify: float = 0.0
    only_approved: bool = False

    def __post_init__(self) -> None:
        if self.format not in LAYOUTS:
            raise SaywhereError(f"format '{self.format}': not known; one of {', '.join(LAYOUTS)}")
        if not (math.isfinite(self.simplify) and 0.0 <= self.simplify <= MAX_TOLERANCE):
            raise SaywhereError(f"simplify {self.simplify}: give pixels from 0 to {MAX_TOLERANCE:g}")

    @property
    def layout(self) -> Layout:
        """What the format's name means."""
        return LAYOUTS[self.format]

    @property
    def is_one_file(self) -> bool:
        """Whether all is in one JSON file."""
        return self.layout.format == "coco" and not self.images and self.split is None

    def as_json(self) -> dict[str, Any]:
        """For the manifest."""
        return {
            "format": self.format, "only_done": self.only_done, "images": self.images,
            "split": None if self.split is None else str(self.split), "simplify": self.simplify,
            **({"only_approved": True} if self.only_approved else {}),
        }  # fmt: skip
