"""What a Segmenter answers: a mask, and what a phrase alone proposes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import FloatArray
from saywhere.core.crop import Crop

NOTHING = -16.0  # the logit of a pixel that was not looked at


@dataclass(frozen=True)
class Mask:
    """An answer. ``array`` and ``probability`` are made when first asked for, at the photograph's size.

    ``logits`` are the network's; the mask is made of the ``refined`` ones where there are any.
    """

    crop: Crop
    logits: FloatArray = field(repr=False)
    photo: tuple[int, int]
    threshold: float = 0.5
    refined: FloatArray | None = field(default=None, repr=False)

    @property
    def _shown(self) -> FloatArray:
        return self.logits if self.refined is None else self.refined

    @cached_property
    def array(self) -> NDArray[np.bool_]:
        """``(H, W)`` bool: the object's pixels."""
        cut = math.log(self.threshold / (1.0 - self.threshold))
        return self.crop.to_image(self._shown, self.photo, NOTHING) > cut

    def part(self, threshold: float | None = None) -> tuple[int, int, NDArray[np.bool_]]:
        """Left, top and the pixels (h, w) of what was looked at, cut at the mask's threshold or another one.

        Outside it nothing is on the object. Of a large photograph this is much smaller than ``array``.
        """
        chance = self.threshold if threshold is None else threshold
        size = self.crop.right - self.crop.left, self.crop.bottom - self.crop.top
        values = cv2.resize(self._shown, size, interpolation=cv2.INTER_LINEAR)
        return self.crop.left, self.crop.top, np.asarray(values > math.log(chance / (1.0 - chance)), np.bool_)

    @cached_property
    def probability(self) -> FloatArray:
        """``(H, W)`` float32 in [0, 1]."""
        return sigmoid(self.crop.to_image(self._shown, self.photo, NOTHING))

    @cached_property
    def score(self) -> float:
        """The IoU to expect, were the probabilities true: what is surely inside over what may be."""
        chance = sigmoid(self._shown)
        return expected_iou(chance > self.threshold, chance)


def expected_iou(inside: NDArray[np.bool_], chance: FloatArray) -> float:
    """The IoU of a region to expect, were the probabilities true; 0 where nothing is likely."""
    union = float(inside.sum()) + float(chance[~inside].sum())
    return float(chance[inside].sum()) / union if union > 0 else 0.0


def sigmoid(logits: FloatArray) -> FloatArray:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logits, -30.0, 30.0))), np.float32)
