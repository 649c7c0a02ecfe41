"""Prompts: clicks, drags and a phrase."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from saywhere.core.arrays import FloatArray
from saywhere.errors import SaywhereError

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
        SaywhereError: a coordinate is not finite, or the radius is not above 0.
    """

    x: float
    y: float
    positive: bool = True
    radius: float | None = None

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise SaywhereError(f"click at ({self.x}, {self.y}): give two finite numbers, x and y in pixels")
        if self.radius is not None and not (math.isfinite(self.radius) and self.radius > 0):
            raise SaywhereError(f"drag radius {self.radius}: give a number of pixels above 0")

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
    """

    clicks: tuple[Click, ...] = ()
    phrase: str | None = None

    def __len__(self) -> int:
        return len(self.clicks) + (self.phrase is not None)

    def __bool__(self) -> bool:
        return len(self) > 0

    def with_click(self, click: Click) -> Prompt:
        """The prompt with one more click."""
        return replace(self, clicks=(*self.clicks, click))

    def with_phrase(self, phrase: str | None) -> Prompt:
        """The prompt with another phrase, or without one."""
        return replace(self, phrase=phrase)

    def moved(self, scale: float, dx: float, dy: float) -> Prompt:
        """The prompt in pixels of a resized crop; arguments as for :meth:`Click.moved`."""
        return replace(self, clicks=tuple(c.moved(scale, dx, dy) for c in self.clicks))

    def mirrored(self, width: int) -> Prompt:
        """The prompt for the mirrored image.

        Args:
            width: of the image, in pixels.
        """
        clicks = tuple(replace(c, x=width - 1.0 - c.x) for c in self.clicks)
        return Prompt(clicks, None if self.phrase is None else mirrored(self.phrase))


class ClickArrays(NamedTuple):
    """The clicks of a batch of prompts as arrays, the input of a decoder.

    Attributes:
        points: ``(B, N, 2)`` float32, x and y in pixels of the encoded image; N is at least 1.
        labels: ``(B, N)`` float32: 1 positive, 0 negative, -1 no click.
        radii: ``(B, N)`` float32, pixels; 0 for a click without a drag.
    """

    points: FloatArray
    labels: FloatArray
    radii: FloatArray


def click_arrays(prompts: Sequence[Prompt]) -> ClickArrays:
    """The clicks of a batch of prompts, padded to the largest number of clicks.

    Example:
        >>> click_arrays([Prompt((Click(3, 4), Click(5, 6, False, 2)))]).labels.tolist()
        [[1.0, 0.0]]
        >>> click_arrays([Prompt()]).labels.tolist()
        [[-1.0]]
    """
    count = max(1, *(len(prompt.clicks) for prompt in prompts))
    points = np.zeros((len(prompts), count, 2), np.float32)
    labels = np.full((len(prompts), count), -1.0, np.float32)
    radii = np.zeros((len(prompts), count), np.float32)
    for row, prompt in enumerate(prompts):
        for column, click in enumerate(prompt.clicks):
            points[row, column] = click.x, click.y
            labels[row, column] = float(click.positive)
            radii[row, column] = click.radius or 0.0
    return ClickArrays(points, labels, radii)
