"""Phrases in a Segmenter."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from conftest import ColourRuntime, disc
from saywhere import Click, Prompt, SaywhereError, Segmenter, Settings
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.base import Capabilities
from saywhere.runtime.torch import TorchRuntime

COLOURS = {"red": (220, 30, 20), "blue": (20, 40, 160)}


class PhraseRuntime(ColourRuntime):
    """Segments the colour that the phrase names, or that of the first click without a phrase."""

    name = "phrases"
    capabilities = Capabilities(phrases=True, relevance=True, calibrated_relevance=True)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        if prompt.phrase is None:
            return super().decode(features, prompt, previous)
        return 16.0 * self.relevance(features, prompt.phrase) - 8.0

    def relevance(self, features: np.ndarray, phrase: str) -> np.ndarray:
        difference = np.abs(features - np.array(COLOURS.get(phrase, (255, 255, 255)), np.float32)).max(2)
        return (difference < 60).astype(np.float32)


@pytest.fixture
def segmenter(photo: np.ndarray) -> Segmenter:
    return Segmenter(PhraseRuntime()).set_image(photo)


class TestSegmenter:
    def test_a_phrase_can_be_set_and_removed_at_any_time(self, photo: np.ndarray) -> None:
        segmenter = Segmenter(PhraseRuntime(), Settings(phrase_relevance_threshold=0.0)).set_image(photo)
        red = disc(480, 640, 300, 200, 40)
        first = segmenter.say("red")
        assert np.mean(first.array == red) > 0.999
        clicked = segmenter.click(300, 200)
        assert segmenter.prompt == Prompt((Click(300, 200),), "red")
        changed = segmenter.say("blue")
        assert np.mean(changed.array == ~red) > 0.99
        without = segmenter.say(None)
        assert segmenter.prompt == Prompt((Click(300, 200),))
        assert np.mean(without.array == red) > 0.999
        assert segmenter.undo() is changed
        assert segmenter.undo() is clicked
        assert segmenter.undo() is first
        assert segmenter.undo() is None
        assert segmenter.redo() is first
        assert segmenter.say(None) is None
        assert not segmenter.prompt

    def test_a_phrase_that_conflicts_with_the_click_is_not_used(self, segmenter: Segmenter) -> None:
        clicked = segmenter.click(300, 200)
        mask = segmenter.say("blue")
        assert mask is not None
        assert np.array_equal(mask.array, clicked.array)
        assert segmenter.prompt.phrase == "blue"
        assert not segmenter.fits("blue")
        assert segmenter.fits("red")
        both = segmenter.click(20, 20)  # this click is on a blue pixel
        assert both.array[300, 20]
        assert not both.array[200, 300]
        assert segmenter.fits("blue")
        assert Segmenter(PhraseRuntime()).set_image(segmenter.encoded.image).fits("red")
        assert not Segmenter(PhraseRuntime()).set_image(segmenter.encoded.image).fits("green")

    def test_without_calibrated_relevance_every_phrase_is_used(self, photo: np.ndarray) -> None:
        runtime = PhraseRuntime()
        runtime.capabilities = replace(runtime.capabilities, calibrated_relevance=False)
        segmenter = Segmenter(runtime).set_image(photo)
        segmenter.click(300, 200)
        mask = segmenter.say("blue")
        assert mask is not None
        assert mask.array[10, 10]
        assert segmenter.fits("blue")

    def test_a_phrase_alone_may_mean_several_objects_and_a_click_one(self) -> None:
        image = np.zeros((240, 320, 3), np.uint8)
        image[disc(240, 320, 80, 120, 30)] = image[disc(240, 320, 240, 120, 40)] = COLOURS["red"]
        segmenter = Segmenter(PhraseRuntime()).set_image(image)

        def segmented() -> list[bool]:
            assert segmenter.mask is not None
            return [bool(segmenter.mask.array[120, x]) for x in (80, 240)]

        segmenter.say("red")
        assert segmented() == [True, True]
        segmenter.click(10, 10, positive=False)
        assert segmented() == [True, True]
        assert segmenter.propose("red").mask.array[120, [80, 240]].all()
        segmenter.click(80, 120)
        assert segmented() == [True, False]

    def test_a_proposal_from_a_phrase_alone(self, segmenter: Segmenter) -> None:
        proposal = segmenter.propose("red")
        assert proposal.relevance.shape == (480, 640)
        assert proposal.relevance[200, 300] > 0.9 > 0.1 > proposal.relevance[10, 10]
        assert disc(480, 640, 300, 200, 40)[int(proposal.click.y), int(proposal.click.x)]
        assert np.mean(proposal.mask.array == disc(480, 640, 300, 200, 40)) > 0.999
        assert not segmenter.prompt
        assert proposal.is_present
        absent = segmenter.propose("green")
        assert not absent.is_present
        assert absent.relevance[int(absent.click.y), int(absent.click.x)] < 0.1
        assert not absent.mask.array.any()

    def test_with_a_negative_click_a_phrase_still_finds_its_object(self, photo: np.ndarray) -> None:
        runtime = PhraseRuntime()
        decoded: list[Prompt] = []
        decode = runtime.decode
        runtime.decode = lambda features, prompt, previous: decoded.append(prompt) or decode(features, prompt, previous)
        segmenter = Segmenter(runtime, Settings(zoom=False)).set_image(photo)
        segmenter.say("red")
        segmenter.click(20, 20, positive=False)
        assert segmenter.prompt == Prompt((Click(20, 20, False),), "red")
        assert [sum(c.positive for c in prompt.clicks) for prompt in decoded] == [1, 1]

    def test_a_bad_phrase_changes_nothing(self, segmenter: Segmenter, photo: np.ndarray) -> None:
        mask = segmenter.click(300, 200)
        for phrase in ("", "zxqv", "🐶", "x" * 10_000):
            for method in (segmenter.say, segmenter.relevance_map, segmenter.propose):
                with pytest.raises(SaywhereError, match="phrase"):
                    method(phrase)
        assert segmenter.mask is mask
        without_phrases = Segmenter(ColourRuntime()).set_image(photo)
        with pytest.raises(SaywhereError, match="understand no phrases"):
            without_phrases.say("red")

    def test_a_network_without_a_relevance_map_can_use_phrases(self, photo: np.ndarray) -> None:
        torch.manual_seed(0)
        model = Saywhere(widths=(16, 16, 16, 16), attention=True)
        segmenter = Segmenter(TorchRuntime(model, "no-map")).set_image(photo)
        assert segmenter.say("dog").array.shape == photo.shape[:2]
        with pytest.raises(SaywhereError, match="no relevance map"):
            segmenter.relevance_map("dog")

    def test_predict_takes_text(self, segmenter: Segmenter) -> None:
        masks, _, _ = segmenter.predict(text="red")
        assert masks[0][200, 300]
        assert not masks[0][10, 10]
