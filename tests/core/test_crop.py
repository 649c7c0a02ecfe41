import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import disc
from saywhere import Click, Prompt
from saywhere.core.crop import Crop


@given(
    left=st.floats(-50, 250), top=st.floats(-50, 150), width=st.floats(0, 300), height=st.floats(0, 200),
    photo=st.tuples(st.integers(1, 200), st.integers(1, 300)),
)  # fmt: skip
def test_a_view_is_never_empty_and_never_outside(
    left: float, top: float, width: float, height: float, photo: tuple[int, int]
) -> None:
    crop = Crop.from_box((left, top, left + width, top + height), photo, 64)
    assert 0 <= crop.left < crop.right <= photo[1]
    assert 0 <= crop.top < crop.bottom <= photo[0]
    assert max(crop.width, crop.height) == 64
    assert min(crop.width, crop.height) >= 1


def test_a_mirrored_view_shows_the_same_mirrored() -> None:
    photo = np.random.default_rng(0).integers(0, 255, (100, 200, 3), np.uint8)
    crop = Crop.from_box((30, 20, 110, 80), (100, 200), 40)
    turned = crop.mirrored(200)
    assert turned.mirrored(200) == crop
    assert np.array_equal(turned.crop(photo[:, ::-1])[:, ::-1], crop.crop(photo))


def test_the_prompt_moves_with_the_pixels() -> None:
    image = np.zeros((100, 200, 3), np.uint8)
    image[40, 120] = 255
    crop = Crop.from_box((100, 20, 180, 80), (100, 200), 320)
    seen = crop.crop(image)
    click = crop.to_crop(Prompt((Click(120, 40, True, 5.0),))).clicks[0]
    row, column = np.unravel_index(seen[..., 0].argmax(), seen.shape[:2])
    assert abs(click.x - column) <= 1.0
    assert abs(click.y - row) <= 1.0
    assert click.radius == 20.0


def test_a_map_comes_back_from_another_view_where_it_was() -> None:
    coarse = Crop.from_box((0, 0, 200, 100), (100, 200), 100)
    close = Crop.from_box((60, 10, 160, 90), (100, 200), 300)
    seen = np.where(disc(50, 100, 55, 25, 12), 8.0, -8.0).astype(np.float32)  # centre (110.5, 50.5), radius 24
    closer = coarse.resample(seen, close, -16.0)
    box = close.bounding_box(closer > 0)
    assert box is not None
    assert box == pytest.approx((86, 26, 135, 75), abs=2)
    assert coarse.bounding_box(seen > 0) == pytest.approx((86, 26, 136, 76), abs=1)


def test_what_was_not_seen_is_outside() -> None:
    part = Crop.from_box((50, 20, 90, 60), (100, 200), 40)
    whole = Crop.from_box((0, 0, 200, 100), (100, 200), 200)
    ones = np.ones((40, 40), np.float32)
    assert part.resample(ones, whole, -16.0)[10, 10] == -16.0
    spread = part.to_image(ones, (100, 200), -16.0)
    assert spread.shape == (100, 200)
    assert (spread == 1.0).sum() == 40 * 40
    assert part.bounding_box(ones < 0) is None
