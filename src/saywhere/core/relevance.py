"""Relevance maps: where in an image a phrase applies."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np

from saywhere.core.arrays import FloatArray
from saywhere.core.crop import Crop
from saywhere.core.deprecation import renamed_methods
from saywhere.core.mask import Mask
from saywhere.core.prompt import Click

CLICK_NEIGHBOURHOOD = 0.02  # how far around a click relevance is averaged, over the map's longer side
PRESENT_FROM = 0.5  # mean relevance around its maximum from which the object counts as present


def smoothing_side(relevance: FloatArray) -> int:
    """Side of the square over which a relevance map is averaged before its maximum is taken, in its pixels."""
    return max(relevance.shape) // 24 * 2 + 1


def relevance_peak(relevance: FloatArray) -> tuple[Click, float]:
    """Where a relevance map is highest.

    Args:
        relevance: ``(h, w)`` in [0, 1].

    Returns:
        A click at the maximum of the smoothed map, in its pixels, and the smoothed value there.

    Example:
        >>> import numpy as np
        >>> relevance = np.zeros((48, 48), np.float32)
        >>> relevance[10:15, 20:25] = 1.0
        >>> relevance_peak(relevance)
        (Click(x=22.0, y=12.0, positive=True, radius=None), 1.0)
    """
    side = smoothing_side(relevance)
    mean = cv2.blur(relevance, (side, side))
    row, column = np.unravel_index(int(mean.argmax()), mean.shape)
    return Click(float(column), float(row)), float(mean[row, column])


def relevance_at(relevance: FloatArray, click: Click) -> float:
    """The mean of a relevance map around a click, :data:`CLICK_NEIGHBOURHOOD` of the longer side to each side.

    Args:
        relevance: ``(h, w)``.
        click: in pixels of the map.
    """
    reach = max(round(CLICK_NEIGHBOURHOOD * max(relevance.shape)), 2)
    x, y = int(click.x), int(click.y)
    return float(relevance[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].mean())


@renamed_methods(heat="relevance", found="is_present")
@dataclass(frozen=True)
class Proposal:
    """What a phrase alone finds.

    Attributes:
        mask: the object.
        click: where the phrase applies best, in pixels of the image.
        peak: the smoothed relevance there.
        relevance_in_crop: ``(h, w)`` the relevance map in the pixels of ``crop``.
        crop: the whole image, as it was encoded.
    """

    mask: Mask
    click: Click
    peak: float
    relevance_in_crop: FloatArray = field(repr=False)
    crop: Crop = field(repr=False)

    @cached_property
    def relevance(self) -> FloatArray:
        """``(H, W)`` in [0, 1], at the size of the image."""
        return np.clip(self.crop.to_image(self.relevance_in_crop, self.mask.image_size, 0.0), 0.0, 1.0)

    @property
    def is_present(self) -> bool:
        """Whether the object seems to be in the image at all."""
        return self.peak >= PRESENT_FROM
