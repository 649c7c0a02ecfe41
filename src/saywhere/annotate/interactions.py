"""What objects are made of: clicks, boxes, choices among candidates, given masks, strokes, and values of attributes.

Nothing here knows of events or of the database.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saywhere.core.geometry import Box
from saywhere.core.prompt import Click


@dataclass(frozen=True, slots=True)
class DrawnBox:
    """A box around the object: its edges x0, y0, x1, y1 in pixels of the image. It replaces the box before."""

    box: Box


@dataclass(frozen=True, slots=True)
class CandidateChoice:
    """Another of the network's candidate masks, by its index among them, smallest first."""

    index: int


@dataclass(frozen=True, slots=True)
class GivenMask:
    """A mask that was imported, drawn as polygons or copied, by the number of the event that it is stored with.

    What comes after refines it.
    """

    event: int


Interaction = Click | DrawnBox | CandidateChoice | GivenMask | str | None
"""A click or drag, a box, a choice among candidates, a given mask, a phrase, or None where the phrase is taken back."""


@dataclass(frozen=True, slots=True)
class BrushStroke:
    """A line drawn with a round brush that paints (``paint``) or erases.

    Args:
        paint: whether the stroke adds pixels to the object; else it removes them.
        radius: the brush's radius in pixels of the image.
        points: ``(x, y)`` in pixels of the image.
    """

    paint: bool
    radius: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class PixelChange:
    """A correction of a mask by a lasso, or of its holes and crumbs: its pixels as COCO's run lengths.

    Args:
        painted: pixels that become the object's; empty for none.
        erased: pixels that are the object's no more; empty for none.
    """

    painted: str = ""
    erased: str = ""


Correction = BrushStroke | PixelChange
Attribute = str | float | bool
CORRECTIONS = ("lasso", "holes", "crumbs")  # kinds of events that store a PixelChange


@dataclass(frozen=True, slots=True)
class Candidates:
    """Which of the network's masks for a prompt differ from each other, and which one is the object's.

    Args:
        indices: for :class:`CandidateChoice`, smallest mask first; of masks that are nearly equal only one is here.
            Empty where no others differ.
        position: of the object's mask in ``indices``.
    """

    indices: tuple[int, ...] = ()
    position: int = 0

    @classmethod
    def from_event(cls, data: Mapping[str, Any]) -> Candidates:
        """Those that are stored with an event; events of earlier versions, and of one mask, have none."""
        stored = data.get("candidates")
        return cls() if stored is None else cls(tuple(stored["indices"]), stored["position"])

    def as_data(self) -> dict[str, Any]:
        """What is added to an event's data."""
        return {"candidates": {"indices": list(self.indices), "position": self.position}} if self.indices else {}


NO_CANDIDATES = Candidates()
