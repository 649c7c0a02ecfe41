"""Checks of phrases, clicks, drags, boxes and masks against the network and the image."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence

import numpy as np

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import Box, ImageSize
from saywhere.core.numbers import describe, finite_number
from saywhere.core.prompt import Click, checked_box
from saywhere.errors import PhraseError, SaywhereError
from saywhere.runtime.base import Runtime
from saywhere.text.words import shipped_words


def check_text(phrase: str) -> str:
    """The phrase; PhraseError if it is not text."""
    if not isinstance(phrase, str):
        raise PhraseError(f"phrase {describe(phrase)}: give text, for example 'dog'")
    return phrase


def check_phrase(phrase: str, runtime: Runtime) -> str:
    """The phrase as the network takes it.

    Raises:
        PhraseError: it is not text, the network knows no phrases, or no word of this one.
    """
    check_text(phrase)
    if not runtime.capabilities.phrases:
        raise PhraseError(f"phrase {phrase[:60]!r}: weights '{runtime.name}' understand no phrases; use clicks")
    return (runtime.capabilities.words or shipped_words()).check_phrase(phrase)


def check_click(click: Click, image_size: ImageSize) -> Click:
    """The click; SaywhereError if it is not a Click, or outside the image, or a drag that is too long for it."""
    h, w = image_size
    if not isinstance(click, Click):
        raise SaywhereError(f"click {describe(click)}: give a Click, or call click(x, y)")
    if click.radius is not None and click.radius > h + w:
        raise SaywhereError(f"drag radius {click.radius:g}: longer than the photograph, which is {w}x{h} pixels")
    if not (-0.5 <= click.x <= w - 0.5 and -0.5 <= click.y <= h - 0.5):
        raise SaywhereError(f"click at ({click.x:g}, {click.y:g}): outside the photograph, which is {w}x{h} pixels")
    return click


def check_clicks(clicks: Sequence[Click], runtime: Runtime) -> None:
    """SaywhereError if the network does not take a prompt with these clicks."""
    problem = runtime.capabilities.click_problem(clicks, runtime.name)
    if problem is not None:
        raise SaywhereError(problem)


def check_box(box: Sequence[float], runtime: Runtime, image_size: ImageSize) -> Box:
    """The box within the image; SaywhereError as for :func:`checked_box`, or if the network knows no boxes."""
    if not runtime.capabilities.boxes:
        raise SaywhereError(f"box: weights '{runtime.name}' understand no boxes; use clicks")
    return checked_box(box, image_size)


def check_mask(mask: BoolArray, image_size: ImageSize, name: str) -> BoolArray:
    """The mask; SaywhereError if it is not a bool array of the image's size. ``name`` is what the error calls it."""
    if not isinstance(mask, np.ndarray) or mask.dtype != np.bool_ or mask.shape != tuple(image_size):
        what = f"array of {mask.dtype} and shape {mask.shape}" if isinstance(mask, np.ndarray) else describe(mask)
        raise SaywhereError(f"{name} is {what}; give bool of shape ({image_size.height}, {image_size.width})")
    return mask


def drag_length(x: float, y: float, to: tuple[float, float]) -> float:
    """The length of a drag from (x, y) in pixels; SaywhereError if these are not four finite numbers."""
    values: tuple[float, ...] = (x, y)
    with contextlib.suppress(TypeError):
        values = (x, y, *to)
    numbers = [number for value in values if (number := finite_number(value)) is not None]
    if len(numbers) != 4 or len(values) != 4:
        given = ", ".join(describe(value) for value in (x, y, to))
        raise SaywhereError(f"drag ({given}): give x, y and to=(x, y), finite numbers in pixels")
    return math.hypot(numbers[2] - numbers[0], numbers[3] - numbers[1])
