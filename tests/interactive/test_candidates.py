"""Several candidate masks, boxes, and clicks that only add, with runtimes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import disc
from saywhere import SaywhereError, Segmenter, Settings
from saywhere.core.prompt import Prompt
from saywhere.runtime.base import Capabilities, Runtime

PART, WHOLE = 40, 90
CENTRE = 300, 200


class PartsRuntime(Runtime):
    """Three candidates of a target: the whole, the red part in it, and all that is not background, in this order.

    The predicted IoU is ``scores``; a box or a phrase changes nothing but what is recorded.
    """

    name, digest = "parts", "0"
    capabilities = Capabilities(boxes=True, candidates=3)

    def __init__(self, scores: tuple[float, float, float] = (0.5, 0.9, 0.2)) -> None:
        self.scores = scores
        self.encoded: list[tuple[int, int]] = []
        self.prompts: list[Prompt] = []

    def encode(self, image: np.ndarray) -> np.ndarray:
        self.encoded.append(image.shape[:2])
        return image.astype(np.float32)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        raise AssertionError("a Segmenter asks a network with candidates for all of them")

    def decode_candidates(
        self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        self.prompts.append(prompt)
        red, green = features[..., 0] > 128, features[..., 1] > 128
        masks = np.stack([red | green, red, features.max(2) > 32])
        return np.where(masks, 8.0, -8.0).astype(np.float32), np.array(self.scores, np.float32)


@pytest.fixture
def image() -> np.ndarray:
    """A red disc in a larger green one on black, and a dim one far off, 640x480."""
    pixels = np.zeros((480, 640, 3), np.uint8)
    pixels[disc(480, 640, *CENTRE, WHOLE)] = (0, 220, 0)
    pixels[disc(480, 640, *CENTRE, PART)] = (220, 0, 0)
    pixels[disc(480, 640, 560, 400, 30)] = (60, 60, 60)
    return pixels


def segmenter_of(runtime: Runtime, image: np.ndarray, **settings: object) -> Segmenter:
    return Segmenter(runtime, Settings(**settings)).set_image(image)  # type: ignore[arg-type]


def radius_of(mask: np.ndarray) -> float:
    return float(np.sqrt(mask.sum() / np.pi))


class TestCandidates:
    def test_they_are_sorted_by_area_and_the_predicted_iou_chooses(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image, zoom=False, unclicked_components=0.0)
        assert segmenter.candidates == ()
        mask = segmenter.click(*CENTRE)
        assert [each.candidate for each in segmenter.candidates] == [1, 0, 2]
        assert [each.predicted_iou for each in segmenter.candidates] == pytest.approx([0.9, 0.5, 0.2])
        assert segmenter.candidate == 0
        assert segmenter.candidates[0] is mask is segmenter.mask
        assert radius_of(mask.array) == pytest.approx(PART, abs=1)
        assert segmenter.candidates[0].area_share == pytest.approx(mask.array.mean(), rel=0.05)
        areas = [each.array.sum() for each in segmenter.candidates]
        assert areas == sorted(areas)

    def test_the_crop_follows_the_chosen_one(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        part = segmenter.click(*CENTRE)
        whole = segmenter.choose(1)
        assert whole.crop.longer_side > part.crop.longer_side
        assert radius_of(whole.array) == pytest.approx(WHOLE, abs=1)
        assert (segmenter.mask, segmenter.candidate) == (whole, 1)

    def test_a_choice_is_an_interaction(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        part = segmenter.click(*CENTRE)
        whole = segmenter.choose(1)
        assert segmenter.interactions == 2
        assert len(segmenter.prompt) == 1
        assert segmenter.undo() is part
        assert segmenter.interactions == 1
        assert segmenter.redo() is whole
        assert segmenter.click(310, 200).candidate == 0
        assert segmenter.interactions == 3
        segmenter.reset()
        assert (segmenter.interactions, segmenter.candidates) == (0, ())
        assert segmenter.click(*CENTRE).candidate == 1

    @pytest.mark.parametrize("index", [-1, 3])
    def test_one_that_is_not_there_changes_nothing(self, image: np.ndarray, index: int) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        mask = segmenter.click(*CENTRE)
        with pytest.raises(SaywhereError, match=rf"candidate {index}: there are 3, from 0 to 2"):
            segmenter.choose(index)
        assert segmenter.mask is mask
        assert segmenter.interactions == 1

    def test_without_a_prompt_there_is_none(self, image: np.ndarray) -> None:
        with pytest.raises(SaywhereError, match="candidate 0: there is no mask yet"):
            segmenter_of(PartsRuntime(), image).choose(0)

    def test_later_clicks_keep_to_the_chosen_output_until_a_box(self, image: np.ndarray) -> None:
        segmenter = segmenter_of(PartsRuntime(), image)
        segmenter.click(*CENTRE)
        segmenter.choose(1)
        assert segmenter.click(300, 270).candidate == 0
        assert segmenter.click(5, 5, positive=False).candidate == 0
        assert segmenter.box(200, 100, 400, 300).candidate == 1

    def test_a_network_with_one_mask_has_one(self, image: np.ndarray) -> None:
        class One(PartsRuntime):
            capabilities = Capabilities()

            def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
                return PartsRuntime.decode_candidates(self, features, prompt, previous)[0][0]

        segmenter = segmenter_of(One(), image)
        mask = segmenter.click(*CENTRE)
        assert segmenter.candidates == (mask,)
        assert segmenter.choose(0) is mask
        assert (mask.predicted_iou, mask.candidate) == (None, 0)
