"""A phrase alone, and phrases that weights cannot know."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from saywhere import Prompt, Segmenter, Settings
from saywhere.cli.segment import mask_with_phrase
from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.runtime.base import Capabilities, Runtime
from saywhere.text.vocabulary import Vocabulary
from saywhere.text.words import shipped_words

LEFT, RIGHT = 16, 48  # x of two things in an image of 64 x 48 pixels


class TwoThings(Runtime):
    """A phrase is about equally relevant to both things, the right one stands out.

    Its masks are a disc around the last click; the prompts that it gets are kept.
    """

    name = "two-things"

    def __init__(self, salient: bool = True, phrases: tuple[str, ...] = ("dog",)) -> None:
        vocabulary = Vocabulary(phrases, shipped_words()) if phrases else None
        self.capabilities = Capabilities(
            phrases=True, relevance=True, calibrated_relevance=True, salient=salient, vocabulary=vocabulary
        )
        self.prompts: list[Prompt] = []

    def encode(self, image: ImageArray) -> Any:
        return image.shape[:2]

    def decode(self, features: Any, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        if not prompt:
            return self._blobs(features, -9.0, 9.0)
        self.prompts.append(prompt)
        y, x = np.mgrid[: features[0], : features[1]]
        click = prompt.clicks[-1]
        return np.asarray(8.0 - np.hypot(x - click.x, y - click.y), np.float32)

    def relevance(self, features: Any, phrase: str) -> FloatArray:
        return self._blobs(features, 0.9, 0.8)

    @staticmethod
    def _blobs(size: tuple[int, int], left: float, right: float) -> FloatArray:
        values = np.full(size, min(left, 0.0), np.float32)
        values[18:31, LEFT - 6 : LEFT + 7], values[18:31, RIGHT - 6 : RIGHT + 7] = left, right
        return values


def segmenter(runtime: Runtime) -> Segmenter:
    settings = Settings(size=64, enlarge=False, zoom=False)
    return Segmenter(runtime, settings).set_image(np.zeros((48, 64, 3), np.uint8))


def nearest(mask_click_x: float) -> int:
    return LEFT if abs(mask_click_x - LEFT) < abs(mask_click_x - RIGHT) else RIGHT


class TestPhraseAlone:
    @pytest.mark.parametrize("salient", [True, False])
    def test_it_clicks_where_it_is_relevant_and_something_stands_out(self, salient: bool) -> None:
        runtime = TwoThings(salient)
        seg = segmenter(runtime)
        seg.say("dog")
        assert runtime.prompts[0].phrase == "dog"
        assert nearest(runtime.prompts[0].clicks[0].x) == (RIGHT if salient else LEFT)
        proposal = seg.propose("dog")
        assert nearest(proposal.click.x) == (RIGHT if salient else LEFT)
        assert proposal.is_present

    def test_of_an_unknown_phrase_only_what_stands_out_counts(self) -> None:
        runtime = TwoThings()
        mask = segmenter(runtime).say("castanets")
        assert mask is not None
        assert nearest(runtime.prompts[0].clicks[0].x) == RIGHT
        assert all(prompt.phrase is None for prompt in runtime.prompts)


class TestUnknownPhrase:
    def test_it_is_dropped_beside_a_click_and_counts_again_when_it_is_known(self) -> None:
        runtime = TwoThings()
        seg = segmenter(runtime)
        mask = seg.click(LEFT, 24)
        said = seg.say("castanets")
        assert said is not None
        assert (said.array == mask.array).all()
        assert runtime.prompts[-1].phrase is None
        assert not seg.knows("castanets")
        assert not seg.fits("castanets")
        seg.say("dog")
        assert runtime.prompts[-1].phrase == "dog"

    def test_weights_that_do_not_say_what_they_know_get_every_phrase(self) -> None:
        runtime = TwoThings(phrases=())
        seg = segmenter(runtime)
        seg.click(LEFT, 24)
        seg.say("castanets")
        assert seg.knows("castanets")
        assert runtime.prompts[-1].phrase == "castanets"

    def test_the_command_says_so(self, capsys: pytest.CaptureFixture[str]) -> None:
        seg = segmenter(TwoThings())
        mask = seg.click(LEFT, 24)
        assert mask_with_phrase(seg, "castanets", mask) is not None
        assert "far from all that the weights were trained on; answered by the clicks alone" in " ".join(
            capsys.readouterr().err.split()
        )
