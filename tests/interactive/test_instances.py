"""All instances of a phrase: one mask for each object, none twice, none where there is none."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from annotator import PartsRuntime, RedRuntime, picture

import saywhere
from saywhere import Sequence
from saywhere.core.metrics import iou
from saywhere.core.relevance import relevance_peaks
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.interactive.sequence import SequenceOptions
from saywhere.interactive.sequence.proposal import ProposalOutcome
from saywhere.runtime.base import Runtime

DISCS = [(120, 120, 50), (320, 330, 60), (520, 140, 55), (560, 420, 12)]


def open_picture(discs: list[tuple[int, int, int]], runtime: Runtime | None = None) -> Segmenter:
    return Segmenter(runtime or RedRuntime()).set_image(picture(discs))


def disc_mask(index: int) -> np.ndarray:
    return picture([DISCS[index]])[..., 0] > 150


class TestInstances:
    @pytest.mark.parametrize("runtime", [RedRuntime(), PartsRuntime()], ids=["clicks", "boxes"])
    def test_every_object_once_however_small(self, runtime: Runtime) -> None:
        found = open_picture(DISCS, runtime).instances("ball")
        assert len(found) == len(DISCS)
        for index in range(len(DISCS)):
            assert max(iou(one.mask.array, disc_mask(index)) for one in found) > 0.9
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)

    def test_the_prompt_gives_the_mask_again(self) -> None:
        segmenter = open_picture(DISCS, PartsRuntime())
        for one in segmenter.instances("ball"):
            assert one.prompt.box is not None
            assert np.array_equal(segmenter.new_object().box(*one.prompt.box).array, one.mask.array)

    def test_none_where_there_is_none(self) -> None:
        assert open_picture([]).instances("ball") == []

    def test_known_objects_are_not_found_again(self) -> None:
        segmenter = open_picture(DISCS)
        assert len(segmenter.instances("ball", existing=[disc_mask(0), disc_mask(1)])) == 2
        assert len(segmenter.instances("ball", others=[disc_mask(0)])) == 3

    def test_a_map_says_where_without_a_phrase(self) -> None:
        likelihood = np.zeros((48, 64), np.float32)
        likelihood[7:17, 7:17] = 0.9
        (only,) = open_picture(DISCS).instances(likelihood=likelihood)
        assert iou(only.mask.array, disc_mask(0)) > 0.9

    def test_the_interactions_stay_as_they_are(self) -> None:
        segmenter = open_picture(DISCS)
        before = segmenter.click(120, 120)
        segmenter.instances("ball")
        assert segmenter.mask is before

    def test_what_cannot_be_looked_for(self) -> None:
        segmenter = open_picture(DISCS)
        with pytest.raises(SaywhereError, match="give a phrase, or a map"):
            segmenter.instances()
        with pytest.raises(SaywhereError, match="existing"):
            segmenter.instances("ball", existing=[np.ones((3, 3), bool)])


class TestSequence:
    def test_what_is_like_accepted_objects_is_found(self) -> None:
        options = SequenceOptions(learn=False, interval=1)
        one, three = (300, 200, 60), DISCS[:3]
        with Sequence(saywhere.load(), "disc", None, options) as sequence:
            sequence.propose(picture([one]))
            assert sequence.instances() == [], "nothing says yet what to look for"
            sequence.accept(picture([one])[..., 0] > 150)
            sequence.propose(picture(three))
            right = tuple(ProposalOutcome(-1, 0.5, True) for _ in range(99))  # earlier proposals were
            sequence.memory = replace(sequence.memory, outcomes=right)
            found = sequence.instances()
        assert len(found) == len(three)
        discs = picture(three)[..., 0] > 150
        for each in found:
            inside = each.mask.array
            assert (inside & discs).sum() > 0.8 * inside.sum()


class TestPeaks:
    def test_a_level_region_has_one_peak_and_noise_below_the_least_none(self) -> None:
        level = np.zeros((96, 96), np.float32)
        level[40:61, 40:61] = 0.8
        (peak,) = relevance_peaks(level, 10, 0.3)
        assert (peak.x, peak.y) == (50, 50)
        assert relevance_peaks(level * 0.2, 10, 0.3) == []

    def test_two_regions_have_two_the_higher_first(self) -> None:
        level = np.zeros((96, 96), np.float32)
        level[10:20, 10:20], level[60:70, 60:70] = 0.6, 0.9
        assert [peak.x > 40 for peak in relevance_peaks(level, 10, 0.3)] == [True, False]
        assert len(relevance_peaks(level, 1, 0.3)) == 1
