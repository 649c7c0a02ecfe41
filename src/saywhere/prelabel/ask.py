"""What is asked for: objects of photographs, each by clicks, a box or a phrase."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saywhere.core.crop import Box
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import SaywhereError

BOX_GAP = 0.05  # of the box's shorter side: how far outside the box what is not the object is clicked
LEAST_GAP = 2.0  # pixels


@dataclass(frozen=True)
class ObjectPrompt:
    """One object: what is said of it, and its annotation in the output but for what is found.

    ``name`` is unique in a request. An answer is cut to ``box``, the edges x0, y0, x1, y1 in pixels.
    """

    name: str
    prompt: Prompt
    entry: Mapping[str, Any]
    box: Box | None = None

    def digest(self, photo: str) -> str:
        """Changes with the photograph's name and all that is said of the object."""
        clicks = [[c.x, c.y, c.positive, c.radius] for c in self.prompt.clicks]
        said = json.dumps([photo, clicks, self.prompt.phrase, self.box])
        return hashlib.sha256(said.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ImagePrompts:
    """A photograph, by its name in the output and its place, and the objects to find in it."""

    name: str
    path: Path
    asks: tuple[ObjectPrompt, ...]


@dataclass
class Request:
    """All that is asked for, what of the output is known beforehand, and what is wrong with it."""

    photos: list[ImagePrompts] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    categories: list[dict[str, Any]] = field(default_factory=list)
    licenses: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    unasked: int = 0  # photographs of which nothing is asked

    @property
    def objects(self) -> int:
        return sum(len(photo.asks) for photo in self.photos)


def box_prompt(box: Box, size: tuple[int, int]) -> Prompt:
    """A click at the centre of a box, then clicks off the object just outside the middle of each side.

    ``box`` are edges x0, y0, x1, y1, ``size`` the photograph's width and height; clicks outside it are left out.
    Without a drag: a box says nothing about how thick its object is (examples/boxes.py measures both).
    """
    x0, y0, x1, y1 = box
    # Pixel centres are half a pixel from the edges.
    x, y = (x0 + x1) / 2.0 - 0.5, (y0 + y1) / 2.0 - 0.5
    gap = max(BOX_GAP * min(x1 - x0, y1 - y0), LEAST_GAP)
    outside = ((x0 - gap, y), (x1 - 1.0 + gap, y), (x, y0 - gap), (x, y1 - 1.0 + gap))
    off = [Click(*at, positive=False) for at in outside if inside(*at, size)]
    return Prompt((Click(x, y), *off))


def inside(x: float, y: float, size: tuple[int, int]) -> bool:
    return -0.5 <= x <= size[0] - 0.5 and -0.5 <= y <= size[1] - 0.5


def read_box(given: Any, size: tuple[int, int]) -> Box:
    """COCO's x, y, width, height to edges within the photograph; SaywhereError when nothing of it is there."""
    if not _finite(given, 4):
        raise SaywhereError(f"bbox {given}: give four finite numbers, x, y, width, height in pixels")
    x, y, w, h = map(float, given)
    box = max(x, 0.0), max(y, 0.0), min(x + w, float(size[0])), min(y + h, float(size[1]))
    if w <= 0 or h <= 0:
        raise SaywhereError(f"bbox {given}: has no area; give x, y, width, height in pixels")
    if box[2] <= box[0] or box[3] <= box[1]:
        raise SaywhereError(f"bbox {given}: outside the photograph, which is {size[0]}x{size[1]} pixels")
    return box


def read_points(given: Any, size: tuple[int, int]) -> tuple[Click, ...]:
    """``[[x, y, label], ...]`` to clicks, label 1 on the object (also when left out), 0 off it; or SaywhereError."""
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise SaywhereError(f"points {given}: give [[x, y, label], ...], label 1 on the object or 0 off it")
    clicks = []
    for point in given:
        if not (_finite(point, 2) or _finite(point, 3)) or (len(point) == 3 and point[2] not in (0, 1)):
            raise SaywhereError(f"point {point}: give [x, y] or [x, y, label], label 1 on the object or 0 off it")
        clicks.append(click_inside(float(point[0]), float(point[1]), len(point) < 3 or point[2] == 1, None, size))
    return on_object(clicks)


def click_inside(x: float, y: float, positive: bool, radius: float | None, size: tuple[int, int]) -> Click:
    """A click; SaywhereError when it is outside the photograph of this width and height."""
    if not inside(x, y, size):
        raise SaywhereError(f"point ({x:g}, {y:g}): outside the photograph, which is {size[0]}x{size[1]} pixels")
    return Click(x, y, positive, radius)


def on_object(clicks: Iterable[Click]) -> tuple[Click, ...]:
    """The same clicks; SaywhereError when all are off the object."""
    found = tuple(clicks)
    if not any(click.positive for click in found):
        raise SaywhereError("all points are off the object (label 0); give at least one on it (label 1)")
    return found


def _finite(given: Any, count: int) -> bool:
    return (
        isinstance(given, Sequence)
        and len(given) == count
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in given)
    )
