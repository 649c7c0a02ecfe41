"""Thresholding at a larger size, and run lengths of parts: the same pixels as the plain way."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from saywhere.core.enlarge import enlarged_above
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths


@pytest.mark.parametrize("values", [(12, 18), (1, 7), (9, 1), (40, 30)])
@pytest.mark.parametrize("target", [(12, 18), (300, 451), (5, 4)])
def test_the_same_as_enlarging_all_values(values: tuple[int, int], target: tuple[int, int]) -> None:
    logits = np.random.default_rng(0).normal(size=values).astype(np.float32)
    height, width = target
    for limit in (-0.7, 0.2, 9.0):
        expected = cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR) > limit
        np.testing.assert_array_equal(enlarged_above(logits, width, height, limit), expected)


@pytest.mark.parametrize("place", [(0, 0), (3, 2), (5, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_run_lengths_of_a_part(place: tuple[int, int], order: str) -> None:
    left, top = place
    rng, size = np.random.default_rng(1), ImageSize(12, 15)
    for share in (0.0, 0.05, 0.5, 1.0):
        part = np.array(rng.random((8, 10)) < share, order=order)
        full = np.zeros(size, np.bool_)
        full[top : top + 8, left : left + 10] = part
        assert RunLengths.from_part(part, left, top, size) == RunLengths.from_mask(full)
        whole = np.array(rng.random(size) < share, order=order)
        assert RunLengths.from_part(whole, 0, 0, size) == RunLengths.from_mask(whole)
