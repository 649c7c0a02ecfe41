"""The features of an encoded image that a sequence's click bank is made of and compared with."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import FloatArray
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Click, Prompt
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.interactive.sequence import proposal
from saywhere.runtime.base import PurifyingRuntime


def raw_vectors_at(encoded: EncodedImage, runtime: PurifyingRuntime, click: Click) -> tuple[NDArray[np.float16], ...]:
    """The raw vector ``(C,)`` of each level under a click; the bank purifies them with the latest parameters.

    Args:
        encoded: the image.
        runtime: the one that encoded it.
        click: in pixels of the image.
    """
    (click,) = encoded.full_crop.to_crop(Prompt((click,))).clicks
    vectors = []
    strides = runtime.capabilities.purification_strides
    levels = runtime.levels(encoded.features(encoded.full_crop), "raw")
    for level, stride in zip(levels[: len(strides)], strides, strict=True):
        row, column = proposal.cell_at(click, stride, (level.shape[1], level.shape[2]))
        vectors.append(level[:, row, column].astype(np.float16))
    return tuple(vectors)


def image_likelihood(
    encoded: EncodedImage, runtime: PurifyingRuntime, bank: Sequence[proposal.BankedClick], levels: Sequence[int],
    outcomes: Sequence[proposal.ProposalOutcome] = (),
) -> FloatArray:  # fmt: skip
    """``(h, w)`` in pixels of the full crop: how likely a click is right there, judged by :func:`image_confidence`.

    Args:
        encoded: the image.
        runtime: the one that encoded it.
        bank: the initial clicks that it is compared with, at least one.
        levels: which purified levels are compared, 0 the finest.
        outcomes: earlier proposals of the sequence.
    """
    crop = encoded.full_crop
    confidence = image_confidence(encoded, runtime, bank, levels)
    small = cv2.resize(confidence, (crop.width, crop.height), interpolation=cv2.INTER_AREA)
    return proposal.success_probabilities(np.asarray(small, np.float32), outcomes)


def image_confidence(
    encoded: EncodedImage, runtime: PurifyingRuntime, bank: Sequence[proposal.BankedClick], levels: Sequence[int]
) -> FloatArray:
    """The confidence map ``(H, W)`` of an image; 0 where the full crop does not reach.

    Args:
        encoded: the image.
        runtime: the one that encoded it.
        bank: the initial clicks that it is compared with, at least one.
        levels: which purified levels are compared, 0 the finest.
    """
    pure = runtime.levels(encoded.features(encoded.full_crop), "pure")
    banks = []
    for level in levels:
        raw = np.stack([click.vectors[level] for click in bank]).astype(np.float32)
        banks.append(runtime.purified(level, raw))
    strides = [runtime.capabilities.purification_strides[level] for level in levels]
    size = ImageSize(encoded.full_crop.height, encoded.full_crop.width)
    confidence = proposal.confidence_map([pure[level] for level in levels], banks, strides, size)
    return encoded.full_crop.to_image(confidence, encoded.size, 0.0)
