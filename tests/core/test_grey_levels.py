"""Values of more than 8 bits as grey levels."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from saywhere.core.images import read_image

RAMP = np.linspace(0.0, 1.0, 2400).reshape(40, 60)


def with_one(value: float, scale: float = 1.0) -> np.ndarray:
    return np.where(RAMP == 1.0, value, RAMP * scale).astype(np.float32)


@pytest.mark.parametrize(
    "values",
    [
        (RAMP * 0.02).astype(np.float32),
        (RAMP * 1e6 - 5e5).astype(np.float32),
        with_one(np.inf),
        with_one(-np.inf),
        with_one(np.nan),
        with_one(-9999.0),
        with_one(-9999.0, 3000.0),
        with_one(-3.4028235e38),
        with_one(1e30),
        with_one(123456.0),
        (RAMP * 5000).astype(np.uint16),
        np.where(RAMP == 1.0, 65535, RAMP * 5000).astype(np.uint16),
        np.where(RAMP == 1.0, -32768, RAMP * 2000).astype(np.int16),
        (RAMP * 2e9).astype(np.int32),
        RAMP,
    ],
    ids=lambda values: f"{values.dtype} {values.min():g} to {values.max():g}",
)
def test_the_values_take_all_grey_levels(values: np.ndarray) -> None:
    grey = read_image(values)[:, :, 0]
    assert grey.min() == 0
    assert grey.max() == 255
    assert len(np.unique(grey)) >= 250
    measured = grey.ravel()[1:-1].astype(int)
    assert (np.diff(measured) >= 0).all()


def test_several_values_that_are_no_measurement() -> None:
    values = RAMP.copy()
    values[0, 0], values[0, 1], values[5] = -9999.0, np.nan, 3.4e38
    grey = read_image(values.astype(np.float32))[:, :, 0]
    assert (grey[0, 0], grey[0, 1]) == (0, 0)
    assert (grey[5] == 255).all()
    assert grey[-1, -1] == 255
    assert len(np.unique(grey)) >= 240


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 50_000]], np.uint16), [0, 195]),
        (np.full((2, 2), 40_000, np.uint16), [156, 156]),
        (np.array([[0.0, 1.0]], np.float32), [0, 255]),
        (np.array([[-9999.0, 5.0]], np.float32), [0, 255]),
        (np.full((1, 2), np.nan, np.float32), [0, 0]),
        (np.full((1, 2), 7.5, np.float32), [0, 0]),
        (np.array([[3, 200]], np.uint8), [3, 200]),
    ],
)
def test_values_that_have_a_scale_of_their_own(values: np.ndarray, expected: list[int]) -> None:
    assert read_image(values)[0, :, 0].tolist() == expected


def test_the_value_that_a_tiff_declares_as_no_measurement(tmp_path) -> None:
    values = np.where(RAMP == 1.0, -5.0, RAMP).astype(np.float32)
    image = Image.fromarray(values)
    image.save(tmp_path / "plain.tif")
    image.save(tmp_path / "declared.tif", tiffinfo={42113: "-5"})
    assert read_image(tmp_path / "plain.tif")[0, 0, 0] > 200
    assert read_image(tmp_path / "declared.tif")[0, 0, 0] == 0


def test_opacity_has_its_full_scale() -> None:
    """16-bit colours that use little of their scale do not change what is transparent."""
    values = np.full((2, 2, 4), 5000, np.uint16)
    values[0, :, :3] = 0
    values[..., 3] = 65535
    values[1, 1, 3] = 0
    assert read_image(values)[:, :, 0].tolist() == [[0, 0], [255, 255]]
