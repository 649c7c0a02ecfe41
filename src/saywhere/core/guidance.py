"""Guidance maps: a prompt drawn as image channels.

Every function of :data:`GUIDANCE` takes the clicks of one sign, in pixels of the image, and the shape of the map, and
returns ``(h, w)`` float32. With a stride s the map is drawn for an image s times as large: each cell has the value of
the image point at its centre, so that maps can be drawn at the resolution of features without losing position.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np

from saywhere.core.arrays import FloatArray
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import SaywhereError

Map = FloatArray
Shape = tuple[int, int]
"""Rows and columns of a map, whose cells may be larger than a pixel."""


def squared_distances(clicks: Sequence[Click], shape: Shape, stride: int = 1) -> Map:
    """Squared distance from each cell to each click.

    Args:
        clicks: in pixels of the image.
        shape: rows and columns of the map.
        stride: image pixels to a cell.

    Returns:
        ``(n, h, w)`` in square pixels of the image.
    """
    h, w = shape
    points = np.array([(c.x, c.y) for c in clicks], np.float32).reshape(-1, 2) + 0.5
    columns = (np.arange(w, dtype=np.float32) + 0.5) * stride
    rows = (np.arange(h, dtype=np.float32) + 0.5) * stride
    dx2 = (columns[None, :] - points[:, 0:1]) ** 2
    dy2 = (rows[None, :] - points[:, 1:2]) ** 2
    return np.asarray(dy2[:, :, None] + dx2[:, None, :], np.float32)


def euclidean(clicks: Sequence[Click], shape: Shape, stride: int = 1, limit: float = 255.0) -> Map:
    """Distance to the nearest click in pixels, truncated; ``limit`` everywhere without clicks.

    Equation 1 of DCT-Net with Euclidean d; the input of Xu et al. (2016) and of PhraseClick.

    Args:
        clicks: of one sign.
        shape: rows and columns of the map.
        stride: image pixels to a cell.
        limit: the largest distance, in pixels.
    """
    if not clicks:
        return np.full(shape, limit, np.float32)
    return np.minimum(np.sqrt(squared_distances(clicks, shape, stride).min(axis=0)), np.float32(limit))


def gaussian(clicks: Sequence[Click], shape: Shape, stride: int = 1, sigma: float = 10.0) -> Map:
    """``exp(-d^2 / (2 sigma^2))`` with the distance d to the nearest click; 0 everywhere without clicks.

    Multi-Stage Fusion, section 3.3, with a sigma of 10.

    Args:
        clicks: of one sign.
        shape: rows and columns of the map.
        stride: image pixels to a cell.
        sigma: standard deviation, in pixels.
    """
    if not clicks:
        return np.zeros(shape, np.float32)
    nearest = squared_distances(clicks, shape, stride).min(axis=0)
    return np.exp(nearest / np.float32(-2.0 * sigma * sigma))


def disk(clicks: Sequence[Click], shape: Shape, stride: int = 1, radius: float = 5.0) -> Map:
    """1 within a radius of a click, else 0 (RITM).

    At the disk's edge the values fall linearly over one cell, so that coarse maps do not lose position.

    Args:
        clicks: of one sign.
        shape: rows and columns of the map.
        stride: image pixels to a cell.
        radius: in pixels.
    """
    if not clicks:
        return np.zeros(shape, np.float32)
    nearest = np.sqrt(squared_distances(clicks, shape, stride).min(axis=0))
    return np.clip((radius - nearest) / stride + 0.5, 0.0, 1.0, dtype=np.float32)


def dynamic(clicks: Sequence[Click], shape: Shape, stride: int = 1) -> Map:
    """The maximum of one Gaussian for each drag (DCT-Net's Spatial-DCT, equation 2).

    sigma is half the drag's radius, so the map falls to ``exp(-2)`` at the region's boundary. Clicks without a radius
    are not drawn; a model that must draw them first predicts their radii.

    Args:
        clicks: of one sign.
        shape: rows and columns of the map.
        stride: image pixels to a cell.
    """
    dragged = [c for c in clicks if c.radius is not None]
    if not dragged:
        return np.zeros(shape, np.float32)
    radii = np.array([c.radius for c in dragged], np.float32)
    exponent = squared_distances(dragged, shape, stride) / (-0.5 * radii * radii)[:, None, None]
    return np.asarray(np.exp(exponent.max(axis=0)), np.float32)


GUIDANCE: Final[dict[str, Callable[..., Map]]] = {
    "euclidean": euclidean,
    "gaussian": gaussian,
    "disk": disk,
    "dynamic": dynamic,
}


def maps(prompt: Prompt, shape: Shape, kind: str, stride: int = 1, **parameters: float) -> Map:
    """Draw the positive and the negative clicks of a prompt.

    Args:
        prompt: its clicks are drawn.
        shape: rows and columns of the maps.
        kind: a key of :data:`GUIDANCE`.
        stride: pixels of the image for each cell of a map.
        parameters: keyword arguments of that function.

    Returns:
        ``(2, h, w)``: the map of the positive clicks, then that of the negative ones.

    Raises:
        SaywhereError: there is no such kind of map.
    """
    if kind not in GUIDANCE:
        raise SaywhereError(f"guidance map '{kind}': choose one of {', '.join(GUIDANCE)}")
    draw = GUIDANCE[kind]
    positive = [c for c in prompt.clicks if c.positive]
    negative = [c for c in prompt.clicks if not c.positive]
    return np.stack([draw(positive, shape, stride, **parameters), draw(negative, shape, stride, **parameters)])
