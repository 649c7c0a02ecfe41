"""Tokens of an image, sampled for its crops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.core.image_tokens import image_for_tokens, tokens_at, tokens_in_crop

SIZE = ImageSize(120, 280)


def grid() -> np.ndarray:
    """``(2, 12, 28)``: each token holds the x and y of its centre, in pixels of the image."""
    x, y = np.meshgrid((np.arange(28) + 0.5) * 10.0, (np.arange(12) + 0.5) * 10.0)
    return np.stack([x, y]).astype(np.float32)


@pytest.mark.parametrize(("height", "width", "expected"), [
    (120, 280, (12, 28)), (300, 100, (28, 9)), (1, 3000, (1, 28)), (64, 64, (28, 28)),
])  # fmt: skip
def test_the_longer_side_has_28_tokens(height: int, width: int, expected: tuple[int, int]) -> None:
    seen = image_for_tokens(np.zeros((height, width, 3), np.uint8))
    assert seen.shape == (14 * expected[0], 14 * expected[1], 3)


def test_a_cell_of_a_crop_gets_what_is_at_its_centre() -> None:
    crop = Crop(50, 20, 210, 100, 320, 160)  # two pixels to a pixel of the image
    sampled = tokens_in_crop(grid(), SIZE, crop)
    assert sampled.shape == (2, 10, 20)
    np.testing.assert_allclose(sampled[0, 0], 50 + (np.arange(20) + 0.5) * 8, atol=1e-3)
    np.testing.assert_allclose(sampled[1, :, 0], 20 + (np.arange(10) + 0.5) * 8, atol=1e-3)


def test_the_whole_image_is_resized_as_torch_does_it() -> None:
    tokens = np.random.default_rng(0).standard_normal((3, 12, 28)).astype(np.float32)
    sampled = tokens_in_crop(tokens, SIZE, Crop(0, 0, 280, 120, 448, 192))
    expected = F.interpolate(torch.from_numpy(tokens)[None], (12, 28), mode="bilinear")[0]
    np.testing.assert_allclose(sampled, expected, atol=1e-5)


def test_beyond_a_crop_its_last_tokens_go_on() -> None:
    sampled = tokens_in_crop(grid(), SIZE, Crop(0, 0, 100, 50, 100, 50))
    assert sampled.shape == (2, 4, 8)  # 64 x 128 pixels
    assert sampled[0].max() <= 100


def test_sampling_at_points_agrees_with_sampling_a_crop() -> None:
    tokens = np.random.default_rng(1).standard_normal((4, 12, 28)).astype(np.float32)
    crop = Crop(33, 11, 201, 107, 168, 96)
    x, y = np.meshgrid(33 + (np.arange(11) + 0.5) * 16, 11 + (np.arange(6) + 0.5) * 16)
    x = np.minimum(x, 201)
    expected = tokens_in_crop(tokens, SIZE, crop)[:, :6, :11]
    np.testing.assert_allclose(tokens_at(tokens, x / 10 - 0.5, y / 10 - 0.5), expected, atol=1e-4)
