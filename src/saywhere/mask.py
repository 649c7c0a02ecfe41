"""What a Segmenter answers: a mask, and what a phrase alone proposes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.prompt import Click
from saywhere.view import View

Float = NDArray[np.float32]
NOTHING = -16.0  # the logit of a pixel that was not looked at
NEAR = 0.02  # how far around a click its heat is averaged, over the map's longer side
THERE = 0.5  # the mean heat around the best click from which on a thing is taken to be there


@dataclass(frozen=True)
class Mask:
    """An answer. ``array`` and ``probability`` are made when first asked for, at the photograph's size.

    ``logits`` are the network's; the mask is made of the ``refined`` ones where there are any.
    """

    view: View
    logits: Float = field(repr=False)
    photo: tuple[int, int]
    threshold: float = 0.5
    refined: Float | None = field(default=None, repr=False)

    @property
    def _shown(self) -> Float:
        return self.logits if self.refined is None else self.refined

    @cached_property
    def array(self) -> NDArray[np.bool_]:
        """``(H, W)`` bool: the object's pixels."""
        cut = math.log(self.threshold / (1.0 - self.threshold))
        return self.view.spread(self._shown, self.photo, NOTHING) > cut

    def part(self, threshold: float | None = None) -> tuple[int, int, NDArray[np.bool_]]:
        """Left, top and the pixels (h, w) of what was looked at, cut at the mask's threshold or another one.

        Outside it nothing is on the object. Of a large photograph this is much smaller than ``array``.
        """
        chance = self.threshold if threshold is None else threshold
        size = self.view.right - self.view.left, self.view.bottom - self.view.top
        values = cv2.resize(self._shown, size, interpolation=cv2.INTER_LINEAR)
        return self.view.left, self.view.top, np.asarray(values > math.log(chance / (1.0 - chance)), np.bool_)

    @cached_property
    def probability(self) -> Float:
        """``(H, W)`` float32 in [0, 1]."""
        return sigmoid(self.view.spread(self._shown, self.photo, NOTHING))

    @cached_property
    def score(self) -> float:
        """The IoU to expect, were the probabilities true: what is surely inside over what may be."""
        chance = sigmoid(self._shown)
        return expected_iou(chance > self.threshold, chance)


def without_strays(logits: Float, clicks: Sequence[Click], least: float) -> Float:
    """Logits ``(H, W)`` without the pieces that no positive click is on; ``clicks`` are in their pixels.

    One positive click means the piece under it. Of an object that was clicked in several places, other pieces stay if
    they are at least ``least`` times as large as the largest clicked one. A piece that goes becomes as unlikely as it
    was likely. Where no click is on a piece, all stay.
    """
    count, pieces, figures, _ = cv2.connectedComponentsWithStats((logits > 0).astype(np.uint8), connectivity=8)
    h, w = logits.shape
    positive = [c for c in clicks if c.positive]
    at = [(min(max(round(c.y), 0), h - 1), min(max(round(c.x), 0), w - 1)) for c in positive]
    meant = {int(pieces[place]) for place in at} - {0}
    if count <= 2 or not meant:
        return logits
    areas = figures[:, cv2.CC_STAT_AREA]
    enough = math.inf if len(positive) == 1 else least * max(int(areas[piece]) for piece in meant)
    goes = areas < enough
    goes[[0, *meant]] = False
    return np.where(goes[pieces], -logits, logits)


def expected_iou(inside: NDArray[np.bool_], chance: Float) -> float:
    """The IoU of a region to expect, were the probabilities true; 0 where nothing is likely."""
    union = float(inside.sum()) + float(chance[~inside].sum())
    return float(chance[inside].sum()) / union if union > 0 else 0.0


def neighbourhood(heat: Float) -> int:
    """The side, in pixels, of the square over which a heat map is averaged before its highest place is sought."""
    return max(heat.shape) // 24 * 2 + 1


def best_click(heat: Float) -> Click:
    """Where a heat map ``(H, W)`` is highest over a small neighbourhood."""
    reach = neighbourhood(heat)
    mean = cv2.blur(heat, (reach, reach))
    row, column = np.unravel_index(int(mean.argmax()), mean.shape)
    return Click(float(column), float(row))


def heat_at(heat: Float, click: Click) -> float:
    """The mean of a heat map ``(H, W)`` close around a click in its pixels, NEAR of the longer side to each side."""
    reach = max(round(NEAR * max(heat.shape)), 2)
    x, y = int(click.x), int(click.y)
    return float(heat[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1].mean())


def sigmoid(logits: Float) -> Float:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))), np.float32)


@dataclass(frozen=True)
class Proposal:
    """What a phrase alone finds: a ``mask``, where the phrase applies (``heat``, ``(H, W)`` in [0, 1]) and the
    ``click`` that fits it best. Where the heat is low at that click, the thing is probably not there."""

    mask: Mask
    heat: Float = field(repr=False)
    click: Click

    @property
    def found(self) -> bool:
        """Whether the thing seems to be there at all (docs/phrases.md says how often this is right)."""
        reach = neighbourhood(self.heat)
        mean = cv2.blur(self.heat, (reach, reach))
        return bool(mean[int(self.click.y), int(self.click.x)] >= THERE)
