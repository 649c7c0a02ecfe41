"""An object cut out of its image with soft edges, or sharp before a blurred background.

These are the applications that Multi-Stage Fusion shows (figure 1). The colours of pixels that object and background
share are separated by blurred means of both (Forte, Approximate Fast Foreground Colour Estimation, ICIP 2021), so that
neither the cut-out has a rim of the old background nor the blurred background one of the object.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import BoolArray, FloatArray, ImageArray
from saywhere.core.geometry import ImageSize, bounding_box
from saywhere.core.numbers import describe, finite_number
from saywhere.errors import SaywhereError

EDGE_WIDTH = 2.0  # pixels on each side of a mask's boundary in which opacity may be partial, at the network's scale
COLOUR_RADIUS = 8.0  # pixels; colours of object and background at a soft pixel are means over this neighbourhood
RIM_WEIGHT = 1e-3  # of a soft pixel in a mean colour; a pixel that is certainly background, or object, has 1
BLUR_STEP = 4.0  # a stronger blur is computed on a smaller image, in which it has about this radius


def soft_opacity(mask: BoolArray, membership: FloatArray, width: float = EDGE_WIDTH) -> FloatArray:
    """The opacity of each pixel: 1 on the object, 0 off it, and what the network is unsure of at the boundary.

    Farther than ``width`` from the boundary, opacity is 0 or 1 whatever the network says: an object does not become
    transparent where the network is unsure of a part of it. In between it rises with the distance at least.

    Args:
        mask: ``(H, W)``.
        membership: ``(H, W)`` in [0, 1]: above 0.5 exactly where ``mask`` is true.
        width: of the soft edge on each side of the boundary, in pixels.

    Returns:
        ``(H, W)`` float32 in [0, 1]; above 0.5 exactly where ``mask`` is true.

    Example:
        >>> import numpy as np
        >>> mask = np.array([[False, False, False, True, True, True]])
        >>> soft_opacity(mask, np.where(mask, 0.7, 0.3).astype(np.float32), width=2.0).round(2)
        array([[0.  , 0.12, 0.3 , 0.7 , 0.88, 1.  ]], dtype=float32)
    """
    opacity = np.zeros(mask.shape, np.float32)
    if mask.any():
        part = _part_around(mask, math.ceil(width) + 1)
        opacity[part] = _soft_opacity(mask[part], membership[part], width)
    return opacity


def _soft_opacity(mask: BoolArray, membership: FloatArray, width: float) -> FloatArray:
    # A pixel's distance to the nearest pixel on the other side, less the half pixel to the boundary between them.
    inside, outside = (np.clip((_distance(side) - 0.5) / width, 0.0, 1.0) / 2.0 for side in (mask, ~mask))
    opacity = np.where(mask, np.maximum(membership, 0.5 + inside), np.minimum(membership, 0.5 - outside))
    return np.asarray(opacity, np.float32)


def opacity_of_mask(mask: BoolArray) -> FloatArray:
    """The opacity of each pixel of a mask of which nothing more is known: its outline, smoothed.

    Args:
        mask: ``(H, W)``.

    Returns:
        ``(H, W)`` float32 in [0, 1]; above 0.5 exactly where ``mask`` is true.
    """
    smoothed = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), 1.0)
    # Corners and lines that smoothing takes away, and notches that it fills, are kept.
    membership = np.where(mask, np.maximum(smoothed, 0.51), np.minimum(smoothed, 0.49))
    return soft_opacity(mask, np.asarray(membership, np.float32))


def cut_out(image: ImageArray, opacity: FloatArray) -> NDArray[np.uint8]:
    """The object on nothing.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        opacity: ``(H, W)`` in [0, 1].

    Returns:
        ``(H, W, 4)`` uint8 RGBA, not premultiplied. At soft pixels the colour is the object's alone; pixels that are
        fully transparent are black, so that nothing of the background is in the file.

    Raises:
        SaywhereError: no pixel is on the object.
    """
    levels = _levels(opacity)
    colours = _object_colours(image, levels)
    colours[levels == 0] = 0
    return np.dstack([colours, levels])


def blur_background(image: ImageArray, opacity: FloatArray, radius: float) -> ImageArray:
    """The object, sharp, before the rest of the image, blurred.

    The blur is a normalised convolution over the background alone: the object's colours are no part of it, and where
    there is only the object to one side, nothing dark comes in from there either.

    Args:
        image: ``(H, W, 3)`` uint8 RGB.
        opacity: ``(H, W)`` in [0, 1].
        radius: of the blur in pixels: the standard deviation of a Gaussian.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        SaywhereError: no pixel is on the object, or the radius is not possible.
    """
    check_blur_radius(radius, ImageSize(*image.shape[:2]))
    levels = _levels(opacity)
    colours = _object_colours(image, levels)
    share = levels.astype(np.float32) / 255.0
    # One channel after another: as float32 a large image is 12 bytes a pixel.
    for channel, background in enumerate(_mean_channels(image, _weights(levels), radius)):
        colours[:, :, channel] = (colours[:, :, channel] * share + background * (1.0 - share)).round()
    return colours


def check_blur_radius(radius: float, image_size: ImageSize | None = None) -> None:
    """Check the radius of a blur.

    Raises:
        SaywhereError: it is not a positive number, or larger than the image.
    """
    number = finite_number(radius)
    if number is None or number <= 0.0:
        raise SaywhereError(f"blur {describe(radius)}: give a radius in pixels above 0, for example 12")
    if image_size is not None and number > max(image_size):
        height, width = image_size
        raise SaywhereError(f"blur {number:g}: larger than the image ({width}x{height}); give a smaller radius")


def _distance(mask: BoolArray) -> FloatArray:
    """The distance of each true pixel to the nearest false one; very far where all are true."""
    if mask.all():
        return np.full(mask.shape, np.float32(np.inf))
    return np.asarray(cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE), np.float32)


def _levels(opacity: FloatArray) -> NDArray[np.uint8]:
    """Opacity in 256 levels. SaywhereError where no pixel is on the object."""
    levels = np.asarray((255.0 * opacity).round(), np.uint8)
    if not (levels > 127).any():
        raise SaywhereError("the mask is empty: there is nothing to cut out; click on the object first")
    return levels


def _object_colours(image: ImageArray, levels: NDArray[np.uint8]) -> ImageArray:
    """The image with the object's own colour at soft pixels: F in ``image = a F + (1 - a) B``, with opacity a.

    F = F' + a (image - a F' - (1 - a) B'), with F' and B' the mean colours of object and background near by (Forte,
    equation 4). Only the part of the image around the object is computed.
    """
    soft = (levels > 0) & (levels < 255)
    colours = image.copy()
    if not soft.any():
        return colours
    part = _part_around(soft, math.ceil(3 * COLOUR_RADIUS))
    near, is_soft = image[part], soft[part]
    a = levels[part].astype(np.float32)[:, :, None] / 255.0
    objects = _mean_colours(near, _weights(255 - levels[part]), COLOUR_RADIUS)
    background = _mean_colours(near, _weights(levels[part]), COLOUR_RADIUS)
    separated = objects + a * (near - a * objects - (1.0 - a) * background)
    np.copyto(colours[part], np.clip(separated, 0.0, 255.0).round().astype(np.uint8), where=is_soft[:, :, None])
    return colours


def _weights(levels: NDArray[np.uint8]) -> FloatArray:
    """How much each pixel counts in the mean colour of what has the level 0: soft pixels show the other colours too,
    so they only count where there is nothing better."""
    rim = np.float32(RIM_WEIGHT) * (1.0 - levels.astype(np.float32) / 255.0)
    return np.asarray(np.where(levels == 0, np.float32(1.0), rim), np.float32)


def _part_around(mask: BoolArray, margin: int) -> tuple[slice, slice]:
    """The rows and columns of a mask's true pixels, of which there must be one, and ``margin`` more on each side."""
    box = bounding_box(mask)
    assert box is not None, "the mask is empty"
    left, top, right, bottom = map(int, box)
    return slice(max(top - margin, 0), bottom + margin), slice(max(left - margin, 0), right + margin)


def _mean_colours(image: ImageArray, weights: FloatArray, radius: float) -> FloatArray:
    """``(H, W, 3)``: the channels of :func:`_mean_channels` together."""
    return np.dstack(list(_mean_channels(image, weights, radius)))


def _mean_channels(image: ImageArray, weights: FloatArray, radius: float) -> Iterator[FloatArray]:
    """Weighted mean colours around each pixel: a Gaussian blur of weighted colours over that of the weights.

    Args:
        image: ``(H, W, 3)``.
        weights: ``(H, W)``, not negative.
        radius: standard deviation of the Gaussian, in pixels.

    Yields:
        The red, green and blue channel, each ``(H, W)`` float32; black where no weight is near.
    """
    total = np.maximum(_blurred(weights, radius), np.float32(1e-12))
    for channel in range(3):
        mean = _blurred(np.asarray(image[:, :, channel] * weights, np.float32), radius) / total
        yield np.asarray(np.clip(mean, 0.0, 255.0), np.float32)


def _blurred(values: FloatArray, radius: float) -> FloatArray:
    """A Gaussian blur; a strong one is computed on a smaller image, which shows no difference and is much faster."""
    height, width = values.shape
    factor = max(int(radius / BLUR_STEP), 1)
    if factor == 1:
        return np.asarray(cv2.GaussianBlur(values, (0, 0), radius), np.float32)
    small = cv2.resize(values, (math.ceil(width / factor), math.ceil(height / factor)), interpolation=cv2.INTER_AREA)
    return np.asarray(
        cv2.resize(cv2.GaussianBlur(small, (0, 0), radius / factor), (width, height), interpolation=cv2.INTER_LINEAR),
        np.float32,
    )
