"""Checks of single values that annotation files give."""

from __future__ import annotations

from saywhere.core.geometry import ImageSize
from saywhere.core.images import MAX_PIXELS
from saywhere.errors import SaywhereError


def check_size(width: object, height: object) -> ImageSize:
    """The size that a file claims for an image.

    Raises:
        SaywhereError: these are not whole numbers of pixels, or make an image larger than :data:`MAX_PIXELS`.
    """
    pixels = [
        int(value)
        for value in (height, width)
        if isinstance(value, (int, float)) and 1 <= value <= MAX_PIXELS and value == int(value)
    ]
    if len(pixels) < 2 or pixels[0] * pixels[1] > MAX_PIXELS:
        raise SaywhereError(f"width {width!r}, height {height!r}: give whole pixels, {MAX_PIXELS:,} at most")
    return ImageSize(*pixels)


def check_label(label: object) -> str | None:
    """The label that a file gives; None when it is left out or empty.

    Raises:
        SaywhereError: it is no text, or text that cannot be written as UTF-8.
    """
    if label is None or label == "":
        return None
    try:
        if isinstance(label, str):
            label.encode()
            return label
    except UnicodeEncodeError:
        pass
    raise SaywhereError(f"label {label!r}: give text")


def check_score(score: object) -> float | None:
    """The score that a file gives; None when it is left out.

    Raises:
        SaywhereError: it is no number from 0 to 1.
    """
    if score is None:
        return None
    if isinstance(score, bool) or not isinstance(score, (int, float)) or not 0.0 <= score <= 1.0:
        raise SaywhereError(f"score {score!r}: give a number from 0 to 1")
    return float(score)
