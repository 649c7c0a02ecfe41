"""Initial click proposal: where the first click of the next object belongs, from the first clicks of those before.

Sequential Interactive Image Segmentation, section 3.2, equations 2 and 3. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.prompt import Click

# What proposals on photos-7k:val taught, before a sequence has any of its own (docs/sequences.md): the chance that one
# is right is sigmoid(SLOPE * (confidence - EVEN)).
SLOPE, EVEN = 20.0, 0.8
TRUST = 0.3  # how firmly that is is_validation on to: the inverse variance of the offset, in logits


@dataclass(frozen=True)
class BankedClick:
    """The raw feature vectors ``(C,)``, one a level and finest first, under the initial click of object ``number``."""

    number: int
    vectors: tuple[NDArray[np.float16], ...]


@dataclass(frozen=True)
class ProposalOutcome:
    """Whether a proposal for object ``number`` was right, and how confident it was."""

    number: int
    confidence: float
    right: bool


def cell(click: Click, stride: int, shape: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the cell under a click of the image from which a level ``(h, w)`` was made."""
    row, column = int((click.y + 0.5) // stride), int((click.x + 0.5) // stride)
    return min(max(row, 0), shape[0] - 1), min(max(column, 0), shape[1] - 1)


def cosine(level: FloatArray, bank: FloatArray) -> FloatArray:
    """The mean cosine of every cell of ``(C, h, w)`` with the vectors ``(N, C)`` of the bank: ``(h, w)``.

    Equations 2 and 3; the mean over the bank is the product with the mean of its unit vectors.
    """
    mean = (bank / np.maximum(np.linalg.norm(bank, axis=1, keepdims=True), 1e-6)).mean(axis=0)
    lengths = np.maximum(np.linalg.norm(level, axis=0), 1e-6)
    return np.asarray(np.einsum("c,chw->hw", mean, level) / lengths, np.float32)


def confidence_map(
    levels: Sequence[FloatArray], banks: Sequence[FloatArray], strides: Sequence[int], size: tuple[int, int]
) -> FloatArray:
    """The mean over levels of their cosines, on an image of ``size`` (height, width)."""
    maps = []
    for level, bank, stride in zip(levels, banks, strides, strict=True):
        coarse = cosine(level, bank)
        fine = cv2.resize(coarse, (coarse.shape[1] * stride, coarse.shape[0] * stride), interpolation=cv2.INTER_LINEAR)
        maps.append(fine[: size[0], : size[1]])
    return np.asarray(np.mean(maps, axis=0), np.float32)


def propose_click(confidence: FloatArray, ignore: BoolArray, reach: int) -> tuple[Click, float] | None:
    """The most confident pixel outside ``ignore``, and its confidence, after a mean filter ``reach`` pixels wide.

    Ignored pixels have confidence 0 in the filter too, so that the rim of a finished object is no proposal. None when
    every pixel is ignored.
    """
    if ignore.all():
        return None
    smooth = cv2.blur(np.where(ignore, np.float32(0.0), confidence), (reach, reach))
    smooth[ignore] = -np.inf
    row, column = np.unravel_index(int(smooth.argmax()), smooth.shape)
    return Click(float(column), float(row)), float(smooth[row, column])


def chance(confidence: float, outcomes: Sequence[ProposalOutcome]) -> float:
    """The probability that a proposal of this confidence is right, from how earlier ones turned out.

    Logistic regression of the offset, at the slope that validation sequences gave; the offset begins at theirs and
    gives way to this sequence's own outcomes.
    """
    offset = 0.0
    logits = np.array([SLOPE * (o.confidence - EVEN) for o in outcomes])
    right = np.array([o.right for o in outcomes], np.float64)
    for _ in range(20 if outcomes else 0):
        expected = 1.0 / (1.0 + np.exp(-np.clip(logits + offset, -30.0, 30.0)))
        slope = float((right - expected).sum()) - TRUST * offset
        offset += float(np.clip(slope / (float((expected * (1.0 - expected)).sum()) + TRUST), -2.0, 2.0))
    return float(1.0 / (1.0 + np.exp(-np.clip(SLOPE * (confidence - EVEN) + offset, -30.0, 30.0))))
