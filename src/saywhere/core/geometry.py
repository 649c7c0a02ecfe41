"""Sizes and boxes."""

from __future__ import annotations

from typing import NamedTuple

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
