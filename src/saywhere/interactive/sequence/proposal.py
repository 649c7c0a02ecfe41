"""Initial click proposal (ICP): the first click on the next object, from the first clicks on the objects before.

Sequential Interactive Image Segmentation, section 3.2, equations 2 and 3. No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Click

# The probability that a proposal is correct is sigmoid(CONFIDENCE_SLOPE * (confidence - EVEN_CONFIDENCE)) before a
# sequence has outcomes of its own. Both were fitted to proposals on photos-7k:val (research/earlier/sequences.md).
CONFIDENCE_SLOPE, EVEN_CONFIDENCE = 20.0, 0.8
PRIOR_PRECISION = 0.3  # inverse variance of the offset's Gaussian prior, in logits


@dataclass(frozen=True)
class BankedClick:
    """An initial click in the click bank.

    Attributes:
        number: the object's number in the sequence.
        vectors: the raw feature vector ``(C,)`` under the click in each level, finest first.
    """

    number: int
    vectors: tuple[NDArray[np.float16], ...]


@dataclass(frozen=True)
class ProposalOutcome:
    """Whether a proposal was correct.

    Attributes:
        number: the object's number in the sequence; -1 for a rejected proposal.
        confidence: the proposal's confidence.
        correct: whether the proposed click is on the object.
    """

    number: int
    confidence: float
    correct: bool


def cell_at(click: Click, stride: int, shape: tuple[int, int]) -> tuple[int, int]:
    """The cell of a feature level under a click.

    Args:
        click: in pixels of the encoded image.
        stride: image pixels to a cell.
        shape: rows and columns of the level.

    Returns:
        Row and column.
    """
    row, column = int((click.y + 0.5) // stride), int((click.x + 0.5) // stride)
    return min(max(row, 0), shape[0] - 1), min(max(column, 0), shape[1] - 1)


def mean_cosine(level: FloatArray, bank: FloatArray) -> FloatArray:
    """Mean cosine similarity of each cell to the vectors of the bank (equations 2 and 3).

    The mean over the bank is computed as the product with the mean of its unit vectors.

    Args:
        level: ``(C, h, w)``.
        bank: ``(N, C)``.

    Returns:
        ``(h, w)``.
    """
    mean = (bank / np.maximum(np.linalg.norm(bank, axis=1, keepdims=True), 1e-6)).mean(axis=0)
    lengths = np.maximum(np.linalg.norm(level, axis=0), 1e-6)
    return np.asarray(np.einsum("c,chw->hw", mean, level) / lengths, np.float32)


def confidence_map(
    levels: Sequence[FloatArray], banks: Sequence[FloatArray], strides: Sequence[int], size: ImageSize
) -> FloatArray:
    """The mean of the levels' :func:`mean_cosine`, interpolated to the encoded image.

    Args:
        levels: ``(C, h, w)`` each.
        banks: ``(N, C)`` for each level.
        strides: image pixels to a cell of each level.
        size: of the encoded image.

    Returns:
        ``(H, W)``.
    """
    maps = []
    for level, bank, stride in zip(levels, banks, strides, strict=True):
        coarse = mean_cosine(level, bank)
        fine = cv2.resize(coarse, (coarse.shape[1] * stride, coarse.shape[0] * stride), interpolation=cv2.INTER_LINEAR)
        maps.append(fine[: size[0], : size[1]])
    return np.asarray(np.mean(maps, axis=0), np.float32)


def propose_click(confidence: FloatArray, ignore: BoolArray, filter_side: int) -> tuple[Click, float] | None:
    """The pixel of the highest confidence after a mean filter.

    Args:
        confidence: ``(H, W)``.
        ignore: ``(H, W)`` pixels where nothing is proposed. Their confidence in the filter is 0, so that the
            edge of an annotated object is not proposed.
        filter_side: side of the filter, in pixels.

    Returns:
        A click there and its filtered confidence; None when all pixels are ignored.
    """
    if ignore.all():
        return None
    filtered = cv2.blur(np.where(ignore, np.float32(0.0), confidence), (filter_side, filter_side))
    filtered[ignore] = -np.inf
    row, column = np.unravel_index(int(filtered.argmax()), filtered.shape)
    return Click(float(column), float(row)), float(filtered[row, column])


def success_probability(confidence: float, outcomes: Sequence[ProposalOutcome]) -> float:
    """The probability that a proposal of some confidence is correct; see :func:`success_probabilities`."""
    return float(success_probabilities(np.array([confidence], np.float32), outcomes)[0])


def success_probabilities(confidence: FloatArray, outcomes: Sequence[ProposalOutcome]) -> FloatArray:
    """The probabilities that proposals of some confidences are correct.

    Logistic regression on the outcomes of earlier proposals, by Newton's method. Only the offset is fitted; the slope
    and the mean of the offset's prior are those of validation sequences.

    Args:
        confidence: the proposals' filtered confidences, of any shape.
        outcomes: earlier proposals of the sequence.
    """
    offset = 0.0
    logits = np.array([CONFIDENCE_SLOPE * (outcome.confidence - EVEN_CONFIDENCE) for outcome in outcomes])
    correct = np.array([outcome.correct for outcome in outcomes], np.float64)
    for _ in range(20 if outcomes else 0):
        expected = 1.0 / (1.0 + np.exp(-np.clip(logits + offset, -30.0, 30.0)))
        gradient = float((correct - expected).sum()) - PRIOR_PRECISION * offset
        curvature = float((expected * (1.0 - expected)).sum()) + PRIOR_PRECISION
        offset += float(np.clip(gradient / curvature, -2.0, 2.0))
    logit = CONFIDENCE_SLOPE * (np.asarray(confidence, np.float64) - EVEN_CONFIDENCE) + offset
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(logit, -30.0, 30.0))), np.float32)
