"""Relevance maps: where in an image a phrase applies."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np

from saywhere.core.arrays import FloatArray
from saywhere.core.deprecation import renamed_methods
from saywhere.core.mask import Mask
from saywhere.core.prompt import Click

NEAR = 0.02  # how far around a click its relevance is averaged, over the map's longer side


THERE = 0.5  # the mean relevance around the best click from which on a thing is taken to be there


def neighbourhood(relevance: FloatArray) -> int:
    """The side, in pixels, of the square over which a relevance map is averaged before its highest place is sought."""
    return max(relevance.shape) // 24 * 2 + 1


def most_relevant_click(relevance: FloatArray) -> Click:
    """Where a relevance map ``(H, W)`` is highest over a small neighbourhood."""
    reach = neighbourhood(relevance)
    mean = cv2.blur(relevance, (reach, reach))
    row, column = np.unravel_index(int(mean.argmax()), mean.shape)
    return Click(float(column), float(row))


def mean_relevance_at(relevance: FloatArray, click: Click) -> float:
    """The mean of a relevance map ``(H, W)`` close around a click in its pixels, NEAR of the longer side to each
    side."""
    reach = max(round(NEAR * max(relevance.shape)), 2)
    x, y = int(click.x), int(click.y)
    return float(relevance[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].mean())


@renamed_methods(heat="relevance")
@dataclass(frozen=True)
class Proposal:
    """What a phrase alone finds: a ``mask``, where the phrase applies (``relevance``, ``(H, W)`` in [0, 1]) and the
    ``click`` that fits it best. Where the relevance is low at that click, the thing is probably not there."""

    mask: Mask
    relevance: FloatArray = field(repr=False)
    click: Click

    @property
    def found(self) -> bool:
        """Whether the thing seems to be there at all (docs/phrases.md says how often this is right)."""
        reach = neighbourhood(self.relevance)
        mean = cv2.blur(self.relevance, (reach, reach))
        return bool(mean[int(self.click.y), int(self.click.x)] >= THERE)
