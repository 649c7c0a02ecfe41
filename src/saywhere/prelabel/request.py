"""A request for masks: images, and prompts for their objects; checks of boxes and points that people give."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saywhere.core.geometry import Box, ImageSize
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import SaywhereError

BOX_GAP = 0.05  # of the box's shorter side: how far outside the box what is not the object is clicked
LEAST_GAP = 2.0  # pixels


@dataclass(frozen=True)
class ObjectPrompt:
    """The prompt for one object.

    Attributes:
        name: unique in a request.
        prompt: its clicks and its phrase.
        annotation: its annotation in the output, without the mask.
        box: the box around it, to which the mask is cropped: the edges x0, y0, x1, y1 in pixels.
        every: whether all objects that the phrase names are segmented, none where there is none.
    """

    name: str
    prompt: Prompt
    annotation: Mapping[str, Any]
    box: Box | None = None
    every: bool = False

    def complete(self, size: ImageSize, boxes: bool) -> Prompt:
        """The prompt with its box.

        Args:
            size: of the image.
            boxes: whether the network knows boxes; clicks stand for the box alone where it does not.
        """
        if self.box is None:
            return self.prompt
        if boxes:
            return self.prompt.with_box(self.box)
        return self.prompt if self.prompt.clicks else box_prompt(self.box, size).with_phrase(self.prompt.phrase)

    def digest(self, image: str) -> str:
        """A digest that changes with the image's name and with the prompt."""
        clicks = [[c.x, c.y, c.positive, c.radius] for c in self.prompt.clicks]
        content = json.dumps([image, clicks, self.prompt.phrase, self.box, *(["every"] if self.every else [])])
        return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class ImagePrompts:
    """An image, by its name in the output and its file, and the prompts for its objects."""

    name: str
    path: Path
    objects: tuple[ObjectPrompt, ...]


@dataclass
class PrelabelRequest:
    """Images and prompts, and the parts of the output that are known beforehand.

    Attributes:
        prompts: the images that have prompts.
        images, categories, licenses: the lists of the output, as COCO has them.
        faults: what is wrong with the request.
        notes: what of the source is left out or taken for something else.
        unprompted: number of images without a prompt.
    """

    prompts: list[ImagePrompts] = field(default_factory=list)
    images: list[dict[str, Any]] = field(default_factory=list)
    categories: list[dict[str, Any]] = field(default_factory=list)
    licenses: list[dict[str, Any]] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    unprompted: int = 0

    @property
    def objects(self) -> int:
        """Number of objects."""
        return sum(len(image.objects) for image in self.prompts)

    @property
    def is_open(self) -> bool:
        """Whether the number of objects is known only afterwards."""
        return any(prompt.every for image in self.prompts for prompt in image.objects)

    @property
    def phrases(self) -> list[str]:
        """All phrases of the request."""
        return [prompt.prompt.phrase for image in self.prompts for prompt in image.objects if prompt.prompt.phrase]

    @property
    def boxes_with_clicks(self) -> int:
        """Number of objects with clicks and a box."""
        return sum(bool(prompt.box and prompt.prompt.clicks) for image in self.prompts for prompt in image.objects)


def box_prompt(box: Box, size: ImageSize) -> Prompt:
    """A box as clicks, for networks that know no boxes: a click at its centre, then negative clicks just outside the
    middle of each side.

    There is no drag: a box says nothing about how thick its object is (benchmarks/boxes.py measures both).

    Args:
        box: the edges x0, y0, x1, y1 in pixels.
        size: size of the image; clicks outside it are left out.
    """
    x0, y0, x1, y1 = box
    # Pixel centres are half a pixel from the edges.
    x, y = (x0 + x1) / 2.0 - 0.5, (y0 + y1) / 2.0 - 0.5
    gap = max(BOX_GAP * min(x1 - x0, y1 - y0), LEAST_GAP)
    outside = ((x0 - gap, y), (x1 - 1.0 + gap, y), (x, y0 - gap), (x, y1 - 1.0 + gap))
    off = [Click(*at, positive=False) for at in outside if inside(*at, size)]
    return Prompt((Click(x, y), *off))


def inside(x: float, y: float, size: ImageSize) -> bool:
    """Whether a point lies in the image; pixel centres are whole numbers."""
    return -0.5 <= x <= size.width - 0.5 and -0.5 <= y <= size.height - 0.5


def read_box(given: Any, size: ImageSize) -> Box:
    """Check a box.

    Args:
        given: COCO's x, y, width, height.
        size: size of the image.

    Returns:
        The edges x0, y0, x1, y1, within the image.

    Raises:
        SaywhereError: it is not a box, or lies outside the image.
    """
    if not _finite(given, 4):
        raise SaywhereError(f"bbox {given}: give four finite numbers, x, y, width, height in pixels")
    x, y, w, h = map(float, given)
    box = max(x, 0.0), max(y, 0.0), min(x + w, float(size.width)), min(y + h, float(size.height))
    if w <= 0 or h <= 0:
        raise SaywhereError(f"bbox {given}: has no area; give x, y, width, height in pixels")
    if box[2] <= box[0] or box[3] <= box[1]:
        raise SaywhereError(f"bbox {given}: outside the photograph, which is {size.width}x{size.height} pixels")
    return box


def read_points(given: Any, size: ImageSize) -> tuple[Click, ...]:
    """Check points.

    Args:
        given: ``[[x, y, label], ...]``; label 1 (also when left out) is on the object, 0 off it.
        size: size of the image.

    Returns:
        The clicks.

    Raises:
        SaywhereError: they are not points, one lies outside the image, or all are off the object.
    """
    if not isinstance(given, Sequence) or isinstance(given, str) or not given:
        raise SaywhereError(f"points {given}: give [[x, y, label], ...], label 1 on the object or 0 off it")
    clicks = []
    for point in given:
        if not (_finite(point, 2) or _finite(point, 3)) or (len(point) == 3 and point[2] not in (0, 1)):
            raise SaywhereError(f"point {point}: give [x, y] or [x, y, label], label 1 on the object or 0 off it")
        clicks.append(click_inside(float(point[0]), float(point[1]), len(point) < 3 or point[2] == 1, None, size))
    return on_object(clicks)


def click_inside(x: float, y: float, positive: bool, radius: float | None, size: ImageSize) -> Click:
    """A click.

    Raises:
        SaywhereError: it lies outside an image of this size.
    """
    if not inside(x, y, size):
        raise SaywhereError(f"point ({x:g}, {y:g}): outside the photograph, which is {size.width}x{size.height} pixels")
    return Click(x, y, positive, radius)


def on_object(clicks: Iterable[Click]) -> tuple[Click, ...]:
    """The same clicks.

    Raises:
        SaywhereError: all are off the object.
    """
    checked = tuple(clicks)
    if not any(click.positive for click in checked):
        raise SaywhereError("all points are off the object (label 0); give at least one on it (label 1)")
    return checked


def _finite(given: Any, count: int) -> bool:
    return (
        isinstance(given, Sequence)
        and len(given) == count
        and all(isinstance(v, (int, float)) and not isinstance(v, bool) and math.isfinite(v) for v in given)
    )
