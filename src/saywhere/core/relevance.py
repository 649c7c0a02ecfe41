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
PEAK_REACH = 48  # the map's longer side over the distance within which it has one peak
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


def relevance_peaks(relevance: FloatArray, count: int, least: float) -> list[Click]:
    """Where a relevance map has local maxima, one for each object that is not much larger than its surroundings.

    Args:
        relevance: ``(h, w)`` in [0, 1].
        count: the maximum number of peaks.
        least: relevance that a peak has at least, averaged over a small square.

    Returns:
        Clicks in pixels of the map, the highest first.

    Example:
        >>> import numpy as np
        >>> relevance = np.zeros((96, 96), np.float32)
        >>> relevance[18:23, 18:23], relevance[70:75, 50:55] = 0.9, 0.7
        >>> [(click.x, click.y) for click in relevance_peaks(relevance, 5, 0.3)]
        [(20.0, 20.0), (52.0, 72.0)]
    """
    reach = max(max(relevance.shape) // PEAK_REACH, 1)
    mean = cv2.blur(relevance, (reach | 1, reach | 1))
    highest = cv2.dilate(mean, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    maxima = ((mean >= highest) & (mean >= least)).astype(np.uint8)
    # Where the map is level around a maximum, the pixel farthest from the level region's border stands for it.
    number, labels, stats, _ = cv2.connectedComponentsWithStats(maxima, connectivity=8)
    depth = cv2.distanceTransform(np.pad(maxima, 1), cv2.DIST_L2, 3)[1:-1, 1:-1]
    peaks = []
    for label in range(1, number):
        left, top, width, height = (int(v) for v in stats[label, :4])
        part = np.s_[top : top + height, left : left + width]
        inside = np.where(labels[part] == label, depth[part], -1.0)
        row, column = np.unravel_index(int(inside.argmax()), inside.shape)
        peaks.append(Click(float(left + column), float(top + row)))
    peaks.sort(key=lambda click: -mean[int(click.y), int(click.x)])
    return peaks[:count]


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
