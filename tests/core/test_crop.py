import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import disc
from saywhere import Click, Prompt
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize

SIZE = ImageSize(100, 200)


@given(
    left=st.floats(-50, 250), top=st.floats(-50, 150), width=st.floats(0, 300), height=st.floats(0, 200),
    size=st.builds(ImageSize, st.integers(1, 200), st.integers(1, 300)),
)  # fmt: skip
def test_a_crop_is_never_empty_and_never_outside(
    left: float, top: float, width: float, height: float, size: ImageSize
) -> None:
    crop = Crop.from_box((left, top, left + width, top + height), size, 64)
    assert 0 <= crop.left < crop.right <= size.width
    assert 0 <= crop.top < crop.bottom <= size.height
    assert max(crop.width, crop.height) == 64
    assert min(crop.width, crop.height) >= 1


@given(right=st.integers(31, 200), bottom=st.integers(31, 100), size=st.integers(32, 600), other=st.integers(32, 600))
def test_a_resized_crop_has_the_same_pixels(right: int, bottom: int, size: int, other: int) -> None:
    crop = Crop.from_box((0, 0, right, bottom), SIZE, size)
    resized = crop.resized(other)
    assert (resized.left, resized.top, resized.right, resized.bottom) == (0, 0, crop.right, crop.bottom)
    assert max(resized.width, resized.height) == other
    sides = crop.right - crop.left, crop.bottom - crop.top
    assert abs(resized.width * sides[1] - resized.height * sides[0]) <= max(sides)  # the same shape, but for rounding
    assert resized.resized(size) == crop


def test_the_mirrored_crop_of_the_mirrored_image_has_the_mirrored_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8)
    crop = Crop.from_box((30, 20, 110, 80), SIZE, 40)
    mirrored = crop.mirrored(200)
    assert mirrored.mirrored(200) == crop
    assert np.array_equal(mirrored.crop(image[:, ::-1])[:, ::-1], crop.crop(image))


def test_a_prompt_moves_with_the_pixels() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[40, 120] = 255
    crop = Crop.from_box((100, 20, 180, 80), SIZE, 320)
    pixels = crop.crop(image)
    click = crop.to_crop(Prompt((Click(120, 40, True, 5.0),))).clicks[0]
    row, column = np.unravel_index(pixels[..., 0].argmax(), pixels.shape[:2])
    assert abs(click.x - column) <= 1.0
    assert abs(click.y - row) <= 1.0
    assert click.radius == 20.0


def test_a_map_resampled_to_another_crop_stays_in_place() -> None:
    full = Crop.from_box((0, 0, 200, 100), SIZE, 100)
    close = Crop.from_box((60, 10, 160, 90), SIZE, 300)
    logits = np.where(disc(50, 100, 55, 25, 12), 8.0, -8.0).astype(np.float32)  # centre (110.5, 50.5), radius 24
    resampled = full.resample(logits, close, -16.0)
    box = close.bounding_box(resampled > 0)
    assert box is not None
    assert box == pytest.approx((86, 26, 135, 75), abs=2)
    assert full.bounding_box(logits > 0) == pytest.approx((86, 26, 136, 76), abs=1)


def test_pixels_beyond_the_crop_get_the_outside_value() -> None:
    part = Crop.from_box((50, 20, 90, 60), SIZE, 40)
    whole = Crop.from_box((0, 0, 200, 100), SIZE, 200)
    ones = np.ones((40, 40), np.float32)
    assert part.resample(ones, whole, -16.0)[10, 10] == -16.0
    values = part.to_image(ones, SIZE, -16.0)
    assert values.shape == SIZE
    assert (values == 1.0).sum() == 40 * 40
    assert part.bounding_box(ones < 0) is None
