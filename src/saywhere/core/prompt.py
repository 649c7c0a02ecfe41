"""Prompts: clicks, drags, a box and a phrase."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from saywhere.core.arrays import FloatArray
from saywhere.core.geometry import Box, ImageSize
from saywhere.core.numbers import describe, finite_number
from saywhere.errors import SaywhereError

POSITIVE, NEGATIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, PADDING = 1.0, 0.0, 2.0, 3.0, -1.0
"""Labels of points, those of SAM: a click on the object or off it, the corners of a box, no point."""

# Words that change when an image is mirrored.
MIRRORED = {"left": "right", "right": "left"}


def mirrored(phrase: str) -> str:
    """The phrase for the mirrored image, with "left" and "right" swapped.

    Example:
        >>> mirrored("dog on the left")
        'dog on the right'
    """
    return " ".join(MIRRORED.get(word, word) for word in phrase.split())


@dataclass(frozen=True, slots=True)
class Click:
    """A click on the object (positive) or off it (negative), or a drag.

    Attributes:
        x: pixels of the original image, from the left; 0 is the centre of the first pixel.
        y: pixels of the original image, from the top; 0 is the centre of the first pixel.
        positive: whether the point is on the object.
        radius: for a drag from the centre of a region to its nearest boundary, its length in pixels; None for a click.

    Raises:
        SaywhereError: a coordinate is not a finite number, the radius is not above 0, or ``positive`` is neither True
            nor False.
    """

    x: float
    y: float
    positive: bool = True
    radius: float | None = None

    def __post_init__(self) -> None:
        x, y = finite_number(self.x), finite_number(self.y)
        if x is None or y is None:
            place = f"({describe(self.x)}, {describe(self.y)})"
            raise SaywhereError(f"click at {place}: give two finite numbers, x and y in pixels")
        radius = None if self.radius is None else finite_number(self.radius)
        if self.radius is not None and (radius is None or radius <= 0):
            raise SaywhereError(f"drag radius {describe(self.radius)}: give a number of pixels above 0")
        if not isinstance(self.positive, (bool, int, np.bool_)) or self.positive not in (0, 1):
            raise SaywhereError(f"click: positive is {describe(self.positive)}; give True (on the object) or False")
        # Numbers of numpy and others become Python's, which JSON can hold.
        for name, value in (("x", x), ("y", y), ("radius", radius)):
            if type(getattr(self, name)) not in (int, float, type(None)):
                object.__setattr__(self, name, value)
        object.__setattr__(self, "positive", bool(self.positive))

    def moved(self, scale: float, dx: float, dy: float) -> Click:
        """The same click in pixels of a resized crop.

        Pixel i covers the coordinates from i - 0.5 to i + 0.5, hence the halves.

        Args:
            scale: pixels of the resized crop to a pixel of the image.
            dx: left edge of the crop, in pixels of the image.
            dy: top edge of the crop, in pixels of the image.
        """
        return Click(
            x=(self.x + 0.5 - dx) * scale - 0.5,
            y=(self.y + 0.5 - dy) * scale - 0.5,
            positive=self.positive,
            radius=None if self.radius is None else self.radius * scale,
        )


@dataclass(frozen=True, slots=True)
class Prompt:
    """All interactions so far; ``len(prompt)`` is their number.

    Attributes:
        clicks: clicks and drags, oldest first.
        phrase: what the object is; None without a phrase.
        box: edges of a box around the object (x0, y0, x1, y1), in pixels of the original image, where the first pixel
            reaches from 0 to 1; None without a box.

    Raises:
        SaywhereError: an edge of the box is not a finite number, the box is empty or reversed, the phrase is not text,
            or something among the clicks is no :class:`Click`.

    Example:
        >>> len(Prompt((Click(5, 4),), box=(2, 1, 9, 8)))
        2
    """

    clicks: tuple[Click, ...] = ()
    phrase: str | None = None
    box: Box | None = None

    def __post_init__(self) -> None:
        if type(self.clicks) is not tuple:
            object.__setattr__(self, "clicks", _as_tuple(self.clicks, "clicks"))
        for click in self.clicks:
            if not isinstance(click, Click):
                raise SaywhereError(f"a prompt's clicks: {describe(click)} among them; give Click objects")
        if self.phrase is not None and not isinstance(self.phrase, str):
            raise SaywhereError(f"phrase {describe(self.phrase)}: give text, for example 'dog'")
        if self.box is not None:
            object.__setattr__(self, "box", _check_edges(_as_tuple(self.box, "box")))

    def __len__(self) -> int:
        return len(self.clicks) + (self.phrase is not None) + (self.box is not None)

    def __bool__(self) -> bool:
        return len(self) > 0

    def with_click(self, click: Click) -> Prompt:
        """The prompt with one more click."""
        return replace(self, clicks=(*self.clicks, click))

    def with_phrase(self, phrase: str | None) -> Prompt:
        """The prompt with another phrase, or without one."""
        return replace(self, phrase=phrase)

    def with_box(self, box: Box | None) -> Prompt:
        """The prompt with another box, or without one."""
        return replace(self, box=box)

    def moved(self, scale: float, dx: float, dy: float) -> Prompt:
        """The prompt in pixels of a resized crop; arguments as for :meth:`Click.moved`."""
        box = self.box
        if box is not None:
            box = (box[0] - dx) * scale, (box[1] - dy) * scale, (box[2] - dx) * scale, (box[3] - dy) * scale
        return replace(self, clicks=tuple(c.moved(scale, dx, dy) for c in self.clicks), box=box)

    def mirrored(self, width: int) -> Prompt:
        """The prompt for the mirrored image.

        Args:
            width: of the image, in pixels.
        """
        clicks = tuple(replace(c, x=width - 1.0 - c.x) for c in self.clicks)
        box = None if self.box is None else (width - self.box[2], self.box[1], width - self.box[0], self.box[3])
        return Prompt(clicks, None if self.phrase is None else mirrored(self.phrase), box)


def _as_tuple(values: Any, what: str) -> tuple[Any, ...]:
    try:
        return tuple(values)
    except TypeError as error:
        raise SaywhereError(f"{what} {describe(values)}: give a sequence") from error


def _check_edges(box: Sequence[Any]) -> Box:
    edges = [finite_number(edge) for edge in box]
    if len(edges) != 4 or None in edges:
        raise SaywhereError(f"box {_shown(box)}: give four finite numbers, x0, y0, x1 and y1 in pixels")
    # Edges that are Python's own numbers stay as they are.
    x0, y0, x1, y1 = (edge if type(edge) in (int, float) else float(edge) for edge in box)
    if x1 <= x0 or y1 <= y0:
        what = "reversed" if x1 < x0 or y1 < y0 else "empty"
        raise SaywhereError(f"box {_shown(box)}: {what}; give x0, y0, x1, y1 with x0 < x1 and y0 < y1")
    return x0, y0, x1, y1


def _shown(box: Sequence[Any]) -> str:
    edges = [f"{edge:g}" if finite_number(edge) is not None else describe(edge) for edge in box[:6]]
    return f"({', '.join(edges)}{', …' if len(box) > 6 else ''})"


def checked_box(box: Sequence[float], image_size: ImageSize) -> Box:
    """A box for :attr:`Prompt.box`, cut off at the image's border.

    Args:
        box: x0, y0, x1, y1 in pixels of the image.
        image_size: the image's.

    Raises:
        SaywhereError: an edge is not finite, or the box is empty, reversed or outside the image.

    Example:
        >>> checked_box([-3, 2, 5, 90], ImageSize(48, 64))
        (0.0, 2.0, 5.0, 48.0)
    """
    edges = [float(edge) for edge in _check_edges(_as_tuple(box, "box"))]
    height, width = image_size
    x0, y0, x1, y1 = max(edges[0], 0.0), max(edges[1], 0.0), min(edges[2], width), min(edges[3], height)
    if x1 <= x0 or y1 <= y0:
        raise SaywhereError(f"box {_shown(edges)}: outside the image, which is {width}x{height} pixels")
    return x0, y0, float(x1), float(y1)


class ClickArrays(NamedTuple):
    """The clicks and the boxes of a batch of prompts as arrays, the input of a decoder.

    Attributes:
        points: ``(B, N, 2)`` float32, x and y in pixels of the encoded image; N is at least 1.
        labels: ``(B, N)`` float32: 1 positive, 0 negative, 2 and 3 the top left and bottom right corner of a box, -1 no
            point.
        radii: ``(B, N)`` float32, pixels; 0 for a click without a drag, and for corners.
    """

    points: FloatArray
    labels: FloatArray
    radii: FloatArray


def click_arrays(prompts: Sequence[Prompt]) -> ClickArrays:
    """The clicks of a batch of prompts, then the corners of their boxes, padded to the largest number of points.

    Corners are on the edges of pixels; a point at x is half a pixel right of the left edge of pixel x.

    Example:
        >>> click_arrays([Prompt((Click(3, 4), Click(5, 6, False, 2)))]).labels.tolist()
        [[1.0, 0.0]]
        >>> click_arrays([Prompt()]).labels.tolist()
        [[-1.0]]
        >>> boxed = click_arrays([Prompt(box=(2, 1, 9, 8))])
        >>> boxed.labels.tolist(), boxed.points.tolist()
        ([[2.0, 3.0]], [[[1.5, 0.5], [8.5, 7.5]]])
    """
    count = max(1, *(len(prompt.clicks) + 2 * (prompt.box is not None) for prompt in prompts))
    points = np.zeros((len(prompts), count, 2), np.float32)
    labels = np.full((len(prompts), count), PADDING, np.float32)
    radii = np.zeros((len(prompts), count), np.float32)
    for row, prompt in enumerate(prompts):
        for column, click in enumerate(prompt.clicks):
            points[row, column] = click.x, click.y
            labels[row, column] = POSITIVE if click.positive else NEGATIVE
            radii[row, column] = click.radius or 0.0
        if prompt.box is not None:
            corners = slice(len(prompt.clicks), len(prompt.clicks) + 2)
            points[row, corners] = np.reshape(prompt.box, (2, 2)) - 0.5
            labels[row, corners] = BOX_TOP_LEFT, BOX_BOTTOM_RIGHT
    return ClickArrays(points, labels, radii)
