"""Where an automatic mask generator clicks: grids of points, in the whole image and in layers of smaller crops."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from saywhere.core.arrays import FloatArray
from saywhere.core.geometry import ImageSize


class Window(NamedTuple):
    """A part of the image in whole pixels.

    Attributes:
        left, top, right, bottom: its edges.
        layer: 0 for the whole image.
    """

    left: int
    top: int
    right: int
    bottom: int
    layer: int = 0

    @property
    def size(self) -> ImageSize:
        """Its height and width."""
        return ImageSize(self.bottom - self.top, self.right - self.left)


def point_grid(count: int) -> FloatArray:
    """A grid of points in the unit square, in the middle of equal cells.

    Args:
        count: of points along each side.

    Returns:
        ``(count**2, 2)`` x and y.

    Example:
        >>> point_grid(2).tolist()
        [[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]]
    """
    along = (np.arange(count, dtype=np.float32) + np.float32(0.5)) / np.float32(count)
    return np.stack([np.tile(along, count), np.repeat(along, count)], axis=1)


def layered_grids(count: int, layers: int, factor: int) -> list[FloatArray]:
    """The grid of the whole image and of each layer of crops.

    Args:
        count: of points along a side of the whole image.
        layers: of crops.
        factor: by which there are fewer points along a side in each further layer.
    """
    return [point_grid(max(count // factor**layer, 1)) for layer in range(layers + 1)]


def windows(size: ImageSize, layers: int, overlap_ratio: float) -> list[Window]:
    """The whole image and the crops of each layer: 2 to each side, then 4, and so on.

    Args:
        size: of the image.
        layers: of crops.
        overlap_ratio: by how much crops of the first layer overlap, over the image's shorter side; half as much in the
            next layer.

    Example:
        >>> [tuple(window) for window in windows(ImageSize(100, 100), 1, 0.2)][1:3]
        [(0, 0, 60, 60, 1), (40, 0, 100, 60, 1)]
    """
    found = [Window(0, 0, size.width, size.height)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * size.shorter_side * 2 / count)
        width, height = (math.ceil((overlap * (count - 1) + n) / count) for n in (size.width, size.height))
        for row in range(count):
            for column in range(count):
                left, top = column * (width - overlap), row * (height - overlap)
                right, bottom = min(left + width, size.width), min(top + height, size.height)
                found.append(Window(left, top, right, bottom, layer))
    return found
