import math

import pytest

from saywhere import Click, Prompt, SaywhereError


@pytest.mark.parametrize("x", [math.nan, math.inf, -math.inf])
def test_a_click_needs_finite_numbers(x: float) -> None:
    with pytest.raises(SaywhereError, match="finite"):
        Click(x, 3.0)


@pytest.mark.parametrize("radius", [0.0, -1.0, math.nan])
def test_a_drag_needs_a_length(radius: float) -> None:
    with pytest.raises(SaywhereError, match="radius"):
        Click(1.0, 1.0, True, radius)


def test_a_prompt_counts_interactions() -> None:
    prompt = Prompt().with_click(Click(1, 2)).with_click(Click(3, 4, False)).with_phrase("tie")
    assert len(prompt) == 3
    assert not Prompt()


def test_a_mirrored_prompt_means_the_same_object() -> None:
    prompt = Prompt((Click(0, 5, True, 3.0), Click(7, 2, False)), "dog on the left")
    mirrored = prompt.mirrored(10)
    assert mirrored == Prompt((Click(9, 5, True, 3.0), Click(2, 2, False)), "dog on the right")
    assert mirrored.mirrored(10) == prompt


def test_a_click_in_a_crop_keeps_its_place() -> None:
    # Pixel 11 of the image is the second one of a crop that starts at 10. Enlarged four times it covers the crop's
    # coordinates from 4 to 8; its centre at 6 lies between the centres of pixels 5 and 6, so it is 5.5.
    moved = Click(11, 12, True, 3.0).moved(4.0, 10, 12)
    assert (moved.x, moved.y, moved.radius) == (5.5, 1.5, 12.0)
