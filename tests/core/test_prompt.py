import math

import pytest

from saywhere import Click, Prompt, SaywhereError
from saywhere.core.crop import Crop
from saywhere.core.geometry import Box, ImageSize
from saywhere.core.prompt import checked_box, click_arrays


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


class TestBox:
    @pytest.mark.parametrize(
        ("box", "words"),
        [
            ((1, 2, math.nan, 4), "finite"),
            ((1, 2, 3, math.inf), "finite"),
            ((1, 2, 1, 4), "empty"),
            ((5, 2, 1, 4), "reversed"),
            ((1, 4, 5, 2), "reversed"),
        ],
    )
    def test_edges_are_checked(self, box: Box, words: str) -> None:
        with pytest.raises(SaywhereError, match=words):
            Prompt(box=box)
        with pytest.raises(SaywhereError, match=words):
            checked_box(box, ImageSize(48, 64))

    @pytest.mark.parametrize("box", [(64, 0, 70, 9), (-9, 0, 0, 9), (3, 48, 9, 60)])
    def test_a_box_outside_the_image_is_refused(self, box: Box) -> None:
        with pytest.raises(SaywhereError, match="outside the image, which is 64x48 pixels"):
            checked_box(box, ImageSize(48, 64))

    def test_a_box_is_an_interaction_that_clicks_are_added_to(self) -> None:
        prompt = Prompt().with_box((1, 2, 3, 4))
        assert prompt
        assert len(prompt.with_click(Click(2, 3)).with_phrase("tie")) == 3
        assert prompt.with_click(Click(2, 3)).box == (1, 2, 3, 4)
        assert not prompt.with_box(None)

    def test_a_box_in_a_crop_keeps_its_place(self) -> None:
        crop = Crop(10, 20, 42, 52, 64, 64)
        boxed = crop.to_crop(Prompt((Click(11, 22),), box=(11, 22, 12, 24)))
        assert boxed.box == (2.0, 4.0, 4.0, 8.0)
        # The pixel of the box has its centre where the click on it is.
        assert boxed.clicks[0] == Click((2.0 + 4.0) / 2 - 0.5, (4.0 + 6.0) / 2 - 0.5)

    def test_a_mirrored_box_is_around_the_same_pixels(self) -> None:
        prompt = Prompt((Click(2, 3),), "left dog", (2, 3, 4, 9))
        mirrored = prompt.mirrored(10)
        assert mirrored.box == (6, 3, 8, 9)
        assert mirrored.clicks[0].x == 7  # the centre of pixel 7, the last of the box
        assert mirrored.mirrored(10) == prompt

    def test_corners_follow_the_clicks(self) -> None:
        prompts = [Prompt((Click(1, 1), Click(2, 2, False, 3.0)), box=(4, 5, 8, 9)), Prompt((Click(3, 3),))]
        points, labels, radii = click_arrays(prompts)
        assert labels.tolist() == [[1, 0, 2, 3], [1, -1, -1, -1]]
        assert points[0, 2:].tolist() == [[3.5, 4.5], [7.5, 8.5]]
        assert radii.tolist() == [[0, 3, 0, 0], [0, 0, 0, 0]]
