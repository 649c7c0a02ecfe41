from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import distance_transform_edt

from conftest import disc
from saywhere import SaywhereError
from saywhere.core import robot
from saywhere.core.prompt import Click
from saywhere.core.robot import ClickPlace

LARGE_DISC = disc(60, 80, 40, 30, 20)


def rectangle(height: int, width: int, x: int, y: int, w: int, h: int) -> np.ndarray:
    mask = np.zeros((height, width), bool)
    mask[y : y + h, x : x + w] = True
    return mask


def test_the_first_click_is_farthest_from_the_boundary() -> None:
    click = robot.first_click(rectangle(40, 60, 10, 5, 21, 11), drag=True)
    assert click.positive
    assert click.y == 10
    assert 15 <= click.x <= 25  # all points of the medial axis are equally far
    assert click.radius == 6.0  # rows 5 to 15: the first pixel outside is six away from row 10


def test_the_border_of_the_image_is_a_boundary() -> None:
    click = robot.first_click(np.ones((21, 21), bool), drag=True)
    assert (click.x, click.y, click.radius) == (10, 10, 11.0)


@pytest.mark.parametrize("threads", [0, 2])
def test_distances_are_exact_so_that_the_same_click_is_chosen_each_time(threads: int) -> None:
    before = cv2.getNumThreads()
    cv2.setNumThreads(threads)
    rng = np.random.default_rng(0)
    try:
        for size in (64, 130):
            for _ in range(20):
                noise = cv2.GaussianBlur(rng.random((size, size + 7)).astype(np.float32), (0, 0), size / 16)
                region = noise > np.quantile(noise, rng.uniform(0.1, 0.95))
                exact = distance_transform_edt(np.pad(region, 1))[1:-1, 1:-1].astype(np.float32)
                assert np.array_equal(robot.boundary_distance(region), exact)
    finally:
        cv2.setNumThreads(before)
    assert not robot.boundary_distance(np.zeros((5, 6), bool)).any()


def test_the_first_click_avoids_uncounted_pixels() -> None:
    target, ignore = rectangle(20, 40, 0, 0, 40, 20), rectangle(20, 40, 0, 0, 20, 20)
    assert robot.first_click(target, ignore).x >= 20


def test_an_empty_target_is_an_error() -> None:
    with pytest.raises(SaywhereError, match="empty target"):
        robot.first_click(np.zeros((4, 4), bool))


@pytest.mark.parametrize("place", get_args(ClickPlace))
def test_places(place: ClickPlace) -> None:
    rng = np.random.default_rng(0)
    depth = robot.boundary_distance(LARGE_DISC)
    clicks = [robot.click_at(place, LARGE_DISC, rng) for _ in range(100)]
    depths = np.array([depth[int(c.y), int(c.x)] for c in clicks]) / depth.max()
    assert (depths > 0).all()
    if place == "centre":
        assert (depths == 1).all()
    if place == "tap":
        assert depths.min() >= 0.5
        assert depths.min() < 0.7
    if place == "uniform":
        assert depths.min() < 0.2
        assert depths.max() > 0.8
    if place == "rim":
        assert depths.max() <= 0.2


def test_an_object_of_one_pixel_is_clicked_everywhere_on_that() -> None:
    dot = np.zeros((5, 5), np.bool_)
    dot[3, 1] = True
    for place in get_args(ClickPlace):
        assert robot.click_at(place, dot, np.random.default_rng(0)) == Click(1, 3)


def test_edges_are_off_by_the_jitter() -> None:
    assert robot.jittered_box(LARGE_DISC, 0.0, np.random.default_rng(0)) == (20, 10, 61, 51)
    boxes = np.array([robot.jittered_box(LARGE_DISC, 0.1, np.random.default_rng(i)) for i in range(200)])
    off = boxes - (20, 10, 61, 51)
    assert np.abs(off).max() <= 0.2 * 41 + 1e-6
    assert off.std(0) == pytest.approx([0.1 * 41] * 4, rel=0.2)


def test_the_next_click_goes_to_the_largest_wrong_region() -> None:
    target = rectangle(60, 100, 10, 10, 40, 40)
    predicted = target.copy()
    predicted[10:20, 10:20] = False  # 100 missing
    predicted[30:51, 70:91] = True  # 441 extra
    click = robot.next_click(target, predicted, drag=True)
    assert click is not None
    assert (click.x, click.y, click.positive, click.radius) == (80, 40, False, 11.0)
    predicted[30:51, 70:91] = False
    click = robot.next_click(target, predicted)
    assert click is not None
    assert click.positive
    assert target[int(click.y), int(click.x)]
    assert not predicted[int(click.y), int(click.x)]


def test_one_large_region_wins_against_many_small_ones() -> None:
    target = rectangle(50, 50, 0, 0, 50, 50)
    predicted = target.copy()
    predicted[::4, :30] = False  # rows of 30, more in all than the square
    predicted[20:27, 40:47] = False
    click = robot.next_click(target, predicted)
    assert click is not None
    assert (click.x, click.y) == (43, 23)


def test_without_errors_there_is_no_next_click() -> None:
    target = rectangle(10, 10, 2, 2, 5, 5)
    assert robot.next_click(target, target) is None
    predicted = target.copy()
    predicted[2, 2] = False
    ignore = rectangle(10, 10, 2, 2, 1, 1)
    assert robot.next_click(target, predicted, ignore) is None


@given(seed=st.integers(0, 10_000), count=st.integers(1, 6))
def test_positive_clicks_keep_their_distances(seed: int, count: int) -> None:
    target = disc(120, 160, 70, 60, 45)
    clicks = robot.positive_clicks(target, count, np.random.default_rng(seed), margin=5.0, spacing=20.0)
    distance = robot.boundary_distance(target)
    assert 1 <= len(clicks) <= count
    for i, click in enumerate(clicks):
        assert click.positive
        assert distance[int(click.y), int(click.x)] >= 5.0
        for other in clicks[:i]:
            assert (click.x - other.x) ** 2 + (click.y - other.y) ** 2 > 19.0**2


def test_a_thin_object_still_gets_a_click() -> None:
    clicks = robot.positive_clicks(rectangle(30, 30, 4, 10, 20, 1), 3, np.random.default_rng(0), margin=5.0)
    assert clicks
    assert clicks[0].y == 10


@given(seed=st.integers(0, 10_000), strategy=st.sampled_from(robot.NEGATIVE_STRATEGIES))
def test_negative_clicks_lie_in_the_region_of_their_strategy(seed: int, strategy: str) -> None:
    target, others = disc(120, 160, 60, 60, 25), disc(120, 160, 120, 60, 20)
    clicks = robot.negative_clicks(target, 5, np.random.default_rng(seed), strategy, others, margin=5.0, rim=20.0)
    assert clicks
    for click in clicks:
        x, y = int(click.x), int(click.y)
        distance = np.hypot(x - 60, y - 60) - 25
        assert not click.positive
        assert distance >= 3.5  # 5 to the nearest pixel's centre, less the unevenness of the disc's boundary
        if strategy == "rim":
            assert distance <= 21.0
        if strategy == "objects":
            assert others[y, x]


def test_without_other_objects_there_are_no_clicks_on_them() -> None:
    assert robot.negative_clicks(disc(50, 50, 25, 25, 9), 3, np.random.default_rng(0), "objects") == []


def test_the_old_name_of_the_spacing_works_and_warns() -> None:
    target = disc(120, 160, 70, 60, 45)
    with pytest.warns(DeprecationWarning, match="use positive_clicks: spacing"):
        old = robot.positive_clicks(target, 4, np.random.default_rng(0), apart=40.0)  # type: ignore[call-arg]
    assert old == robot.positive_clicks(target, 4, np.random.default_rng(0), spacing=40.0)


def test_an_unknown_strategy_is_an_error() -> None:
    with pytest.raises(SaywhereError, match=r"everywhere.*rim, objects, anywhere"):
        robot.negative_clicks(np.ones((4, 4), bool), 1, np.random.default_rng(0), "everywhere")


@given(seed=st.integers(0, 10_000))
def test_a_training_correction_is_on_a_wrong_pixel(seed: int) -> None:
    target, predicted = disc(80, 80, 30, 40, 20), disc(80, 80, 45, 40, 20)
    click = robot.training_correction(target, predicted, np.random.default_rng(seed), drag=True)
    assert click is not None
    x, y = int(click.x), int(click.y)
    assert target[y, x] != predicted[y, x]
    assert click.positive == bool(target[y, x])
    assert click.radius is not None
    assert robot.training_correction(target, target, np.random.default_rng(seed)) is None
