"""Values that are no prompts: each is one clear error, and nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import saywhere
from saywhere import Click, Prompt, SaywhereError, Segmenter
from saywhere.core.settings import Settings

NO_NUMBERS = [
    None, "3", b"3", True, float("nan"), float("inf"), -float("inf"), 10**400, 1e400, 3j, [3], (3,), {}, object(), int,
    np.array([1.0, 2.0]), np.array("x"), np.bool_(True), np.float32("nan"),
]  # fmt: skip


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    image = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    segmenter = saywhere.load(settings=Settings(size=64, zoom_size=64)).set_image(image)
    segmenter.click(9, 9)
    return segmenter


def refused(segmenter: Segmenter, call: Callable[[], Any]) -> None:
    before = segmenter.prompt, segmenter.mask
    with pytest.raises(SaywhereError) as caught:
        call()
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400
    assert (segmenter.prompt, segmenter.mask) == before


@pytest.mark.parametrize("value", NO_NUMBERS, ids=lambda value: type(value).__name__)
def test_no_numbers(segmenter: Segmenter, value: Any) -> None:
    for call in (
        lambda: segmenter.click(value, 3),
        lambda: segmenter.click(3, value),
        lambda: segmenter.drag(3, 3, radius=value),
        lambda: segmenter.drag(3, 3, to=(value, 3)),
        lambda: segmenter.drag(value, 3, to=(3, 3)),
        lambda: segmenter.box(1, 1, value, 9),
        lambda: segmenter.predict(box=[1, 1, value, 9]),
        lambda: segmenter.predict(np.array([[3, value]], object), [1]),
        lambda: Prompt(box=(1, 1, value, 9)),
    ):
        refused(segmenter, call)


@pytest.mark.parametrize("value", [*NO_NUMBERS, 1e30, -7, 10**30, 1.0], ids=lambda value: type(value).__name__)
def test_no_candidates(segmenter: Segmenter, value: Any) -> None:
    refused(segmenter, lambda: segmenter.choose(value))


@pytest.mark.parametrize("value", [5, True, b"dog", 1.5, ["dog"], np.array(["dog"]), object(), "", "\0", "x" * 10**6])
def test_no_phrases(segmenter: Segmenter, value: Any) -> None:
    for call in (
        lambda: segmenter.say(value),
        lambda: segmenter.predict(text=value),
        lambda: segmenter.relevance_map(value),
        lambda: segmenter.fits(value),
        lambda: segmenter.propose(value),
    ):
        refused(segmenter, call)


@pytest.mark.parametrize("value", [5, b"dog", None, ["dog"]])
def test_what_can_be_known_is_text(segmenter: Segmenter, value: Any) -> None:
    refused(segmenter, lambda: segmenter.knows(value))


@pytest.mark.parametrize("positive", [None, "yes", 2, 0.5, float("nan"), np.array([1, 0]), []])
def test_neither_on_nor_off_the_object(segmenter: Segmenter, positive: Any) -> None:
    refused(segmenter, lambda: segmenter.click(3, 3, positive))


@pytest.mark.parametrize("to", ["ab", (1,), (1, 2, 3), 5, b"ab", {1, 2, 3}])
def test_no_ends_of_drags(segmenter: Segmenter, to: Any) -> None:
    refused(segmenter, lambda: segmenter.drag(3, 3, to=to))


def test_drags_of_any_length(segmenter: Segmenter) -> None:
    for radius in (1e308, 1e9, 113, -1, 0):
        refused(segmenter, lambda radius=radius: segmenter.drag(3, 3, radius=radius))
    for radius in (1e-300, 0.1, 112):
        assert segmenter.drag(3, 3, radius=radius).array.shape == (48, 64)
        segmenter.undo()


@pytest.mark.parametrize(
    "mask_input",
    [
        np.full((1, 256, 256), np.nan),
        np.full((1, 256, 256), np.inf),
        np.full((1, 256, 256), 1e300),
        np.full((1, 256, 256), "x"),
        np.zeros((1, 256, 256), complex),
        np.zeros((3, 3)),
        "text",
        5,
        [[1], [2, 3]],
    ],
    ids=lambda value: type(value).__name__,
)
def test_no_masks(segmenter: Segmenter, mask_input: Any) -> None:
    refused(segmenter, lambda: segmenter.predict([[3, 3]], [1], mask_input=mask_input))


@pytest.mark.parametrize(
    ("coords", "labels"),
    [([[3, 3]], ["1"]), ("ab", [1]), ([[3, 3], [4]], [1, 1]), ([[3, 3]], None), (None, [1]), ([["3", "3"]], [1])],
)
def test_no_points(segmenter: Segmenter, coords: Any, labels: Any) -> None:
    refused(segmenter, lambda: segmenter.predict(coords, labels))


def test_labels_may_be_bool(segmenter: Segmenter) -> None:
    points = [[3, 3], [60, 40]]
    mask, score, _ = segmenter.predict(points, np.array([True, False]))
    as_numbers = segmenter.predict(points, [1, 0])
    assert (mask == as_numbers[0]).all()
    assert score == as_numbers[1]


@pytest.mark.filterwarnings("error")
def test_logits_that_float32_cannot_hold_are_refused_without_a_warning(segmenter: Segmenter) -> None:
    refused(segmenter, lambda: segmenter.predict([[3, 3]], [1], mask_input=np.full((1, 256, 256), 1e300)))


@pytest.mark.parametrize("blur", [*NO_NUMBERS[1:], 0, -1, 65], ids=lambda value: type(value).__name__)
def test_no_radii_of_a_blur(segmenter: Segmenter, blur: Any) -> None:
    assert segmenter.mask is not None
    cutout, image = segmenter.mask.cutout, segmenter.encoded.image
    refused(segmenter, lambda: cutout(image, blur=blur))


def test_sizes_may_be_integers_of_numpy_and_nothing_else() -> None:
    settings = saywhere.load(settings=Settings(size=np.int64(64))).settings
    assert (settings.size, type(settings.size)) == (64, int)
    sizes: list[Any] = [64.0, True, "64", -64]
    for size in sizes:
        with pytest.raises(SaywhereError, match=r"size .*whole numbers of pixels"):
            Settings(size=size).resolve()


def test_other_things_than_clicks(segmenter: Segmenter) -> None:
    for value in (None, (3, 3), "click", 5):
        refused(segmenter, lambda value=value: segmenter.add(value))
        refused(segmenter, lambda value=value: Prompt((value,)))
    refused(segmenter, lambda: Prompt(5))  # type: ignore[arg-type]
    refused(segmenter, lambda: Prompt(phrase=5))  # type: ignore[arg-type]
    for threshold in (0.0, 1.0, float("nan"), "x", None.__class__):
        refused(segmenter, lambda threshold=threshold: segmenter.mask.part(threshold))


def test_numbers_of_numpy_become_those_of_python() -> None:
    click = Click(np.float32(1.5), np.int64(2), np.bool_(False), np.float64(3.0))
    assert [type(value) for value in (click.x, click.y, click.positive, click.radius)] == [float, float, bool, float]
    assert click == Click(1.5, 2, False, 3.0)
    prompt = Prompt([click], box=np.array([1, 2, 3, 4]))  # type: ignore[arg-type]
    assert prompt == Prompt((click,), box=(1, 2, 3, 4))
    assert hash(prompt)
