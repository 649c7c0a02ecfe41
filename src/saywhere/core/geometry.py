"""Sizes and boxes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of the image: the edges of its first and after its last pixel."""


class ImageSize(NamedTuple):
    """Height and width of an image, in pixels.

    Example:
        >>> size = ImageSize(height=480, width=640)
        >>> size.longer_side
        640
        >>> size == (480, 640)
        True
    """

    height: int
    width: int

    @property
    def longer_side(self) -> int:
        """The larger of height and width."""
        return max(self)

    @property
    def shorter_side(self) -> int:
        """The smaller of height and width."""
        return min(self)


def bounding_box(region: NDArray[np.bool_]) -> Box | None:
    """The smallest box around the true pixels of a region ``(H, W)``; None when there are none.

    Example:
        >>> bounding_box(np.array([[False, True, True], [False, False, False]]))
        (1.0, 0.0, 3.0, 1.0)
    """
    columns, rows = np.flatnonzero(region.any(axis=0)), np.flatnonzero(region.any(axis=1))
    if columns.size == 0:
        return None
    return float(columns[0]), float(rows[0]), float(columns[-1] + 1), float(rows[-1] + 1)
