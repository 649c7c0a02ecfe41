"""Checks of numbers that a caller gives."""

from __future__ import annotations

import math
import numbers
import operator
from typing import Any

import numpy as np


def finite_number(value: Any) -> float | None:
    """A real number as float, or None for anything else: text, bool, None, a tensor, NaN, infinite, too large.

    Example:
        >>> finite_number(3), finite_number("3"), finite_number(True), finite_number(10**400)
        (3.0, None, None, None)
    """
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        return None
    try:
        number = float(value)
    except (OverflowError, ValueError, TypeError):
        return None
    return number if math.isfinite(number) else None


def whole_number(value: Any) -> int | None:
    """An integer, or None for anything else, bool among them.

    Example:
        >>> whole_number(np.int64(3)), whole_number(3.0), whole_number(True)
        (3, None, None)
    """
    if isinstance(value, (bool, np.bool_)):
        return None
    try:
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        return None


def describe(value: Any) -> str:
    """A value in an error message: on one line, and not long.

    Example:
        >>> describe("x" * 100)
        "'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx…"
    """
    try:
        text = f"{value:g}" if type(value) is float else " ".join(repr(value).split())
    except Exception:  # an object of someone else, or an integer of thousands of digits
        return f"a {type(value).__name__}"
    return text if len(text) <= 40 else f"{text[:38]}…"
