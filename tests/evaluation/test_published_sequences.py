"""bench --sequence --published has the settings of the paper (Sequential Interactive Image Segmentation)."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

import numpy as np
import pytest
from sequences import QUICK, SMALL, annotate, same

from conftest import disc
from saywhere import Sequence
from saywhere.core.prompt import Click
from saywhere.core.robot import click_at, signed_click, tap
from saywhere.evaluation.robot_user import GroundTruth, RobotUser, next_action
from saywhere.evaluation.sequences import random_proposal
from saywhere.interactive.segmenter import Segmenter
from saywhere.interactive.sequence import PUBLISHED, PUBLISHED_SETTINGS, SequenceOptions
from saywhere.interactive.sequence.memory import is_validation_index
from saywhere.interactive.sequence.purification import augmented
from saywhere.runtime.torch import TorchRuntime

PAPER = {
    "levels": ((3,), "3.2: we choose the last layer R4"),
    "further_probability": (0.0, "3.2, figure 3: every further instance gets a recommended point"),
    "clicks": (None, "3.2, equation 2: the mean over p_1 ... p_(n-1)"),
    "rate": (5e-3, "3.3: the learning rate is fixed to 5 x 10^-3"),
    "momentum": (0.9, "4.1: stochastic gradient descent with a momentum of 0.9; 3.3: similar to the baseline's"),
    "weight_decay": (5e-4, "4.1: and weight decay of 5 x 10^-4"),
    "steps": (4, "3.3: we train for four iterations after a complete interactive segmentation"),
    "batch": (8, "3.3: the batch size is set to 8"),
    "most_positive": (5, "3.3: they are within [1, 5]"),
    "most_negative": (5, "3.3: and [0, 5]"),
    "bank": (None, "3.3: the images and instances are selected from all the annotated ones"),
    "held_out": (None, "3.3, 4.3: the newly annotated and some previous images; none is held back, nothing is undone"),
    "learn_first": (None, "4.2, Q6: only figure 4 a stops learning"),
    "side": (384, "4.1: we crop and resize images to 384 x 384"),
    "augment": (True, "4.1: with random flip and random clip augmentation"),
    "propose": (True, "3.2"),
    "learn": (True, "3.3"),
}
NOT_GIVEN = {"filter", "interval", "seed"}
"""The paper names a mean filter and an interval delta without their values."""


def test_every_option_is_the_papers() -> None:
    assert {field.name for field in fields(SequenceOptions)} == PAPER.keys() | NOT_GIVEN
    assert {name: getattr(PUBLISHED, name) for name in PAPER} == {name: value for name, (value, _) in PAPER.items()}


def test_the_segmenter_gives_the_networks_mask_of_the_whole_image() -> None:
    settings = PUBLISHED_SETTINGS
    assert (settings.size, settings.zoom, settings.flip, settings.refine) == (384, False, False, None)
    assert (settings.unclicked_components, settings.keep_clicked) == (0.0, False)


def test_no_mask_is_held_back() -> None:
    assert not any(is_validation_index(index, PUBLISHED) for index in range(100))
    assert [index for index in range(10) if is_validation_index(index, SequenceOptions())] == [4, 9]


@pytest.mark.parametrize("change", [{"momentum": 0.9}, {"weight_decay": 0.1}, {"augment": True}])
def test_each_option_of_the_optimiser_changes_what_is_learned(network: TorchRuntime, change: dict[str, Any]) -> None:
    # Momentum acts from the second step on.
    base = replace(QUICK, held_out=None, bank=None, clicks=None, steps=2)
    learned = []
    for options in (base, replace(base, **change)):
        with Sequence(Segmenter(network, SMALL), "disc", None, options) as seq:
            annotate(seq, 40, 40)
            learned.append(seq.learned)
    assert not same(learned[0], learned[1])


def test_learning_stops_after_the_first_objects(network: TorchRuntime) -> None:
    with Sequence(Segmenter(network, SMALL), "disc", None, replace(QUICK, learn_first=1)) as seq:
        states = []
        for x in (40, 50, 60):
            annotate(seq, x, 40)
            states.append(seq.learned)
        assert not same(states[0], seq._learner.start())
        assert same(states[0], states[2])
        seq.retract()
        assert same(states[0], seq.learned)


def test_a_random_crop_shows_the_object_and_keeps_masks_beside_pixels() -> None:
    target = disc(64, 64, 20, 30, 6)
    image = np.where(target[..., None], np.uint8(255), np.uint8(0)).repeat(3, axis=2)
    counted = np.ones_like(target)
    counted[:, 50:] = False
    rng = np.random.default_rng(0)
    seen = [augmented(image, target, counted, rng) for _ in range(30)]
    areas = {int(mask.sum()) for _, mask, _ in seen}
    assert min(areas) > 0
    assert len(areas) > 10
    for pixels, mask, _ in seen:
        assert pixels.shape == image.shape
        # Only interpolated pixels at the boundary may differ.
        assert ((pixels[..., 0] > 127) != mask).mean() < 0.03
    flipped = [mask[:, :32].sum() < mask[:, 32:].sum() for _, mask, _ in seen]
    assert 0 < sum(flipped) < 30


def truth_of(*targets: np.ndarray) -> list[GroundTruth]:
    return [GroundTruth(f"object {i}", "disc", None, target, None) for i, target in enumerate(targets)]


def test_random_proposals_lie_in_the_image_or_on_the_object_that_was_hit() -> None:
    hit, other = disc(96, 128, 30, 40, 12), disc(96, 128, 90, 60, 12)
    truths = truth_of(hit, other)
    on_object = random_proposal("object", Click(90, 60), truths)
    assert other[int(on_object.y), int(on_object.x)]
    missed = Click(60, 5)
    assert random_proposal("object", missed, truths) == missed
    anywhere = [random_proposal("image", Click(30, 40), truth_of(hit)[:1]) for _ in range(2)]
    assert anywhere[0] == anywhere[1]
    many = [random_proposal("image", Click(30, 40), [replace(truths[0], name=str(i))]) for i in range(60)]
    assert max(click.x for click in many) > 96
    assert len({click for click in many if hit[int(click.y), int(click.x)]}) < 20


class TestClicksOfGivenSigns:
    target, nothing = disc(60, 80, 30, 30, 10), np.zeros((60, 80), bool)

    def test_a_click_corrects_an_error_of_its_sign(self) -> None:
        too_much = self.target | disc(60, 80, 65, 20, 8)
        negative = signed_click(self.target, too_much, False)
        assert negative is not None
        assert (negative.positive, negative.x, negative.y) == (False, 65.0, 20.0)
        positive = signed_click(self.target, self.nothing, True)
        assert positive is not None
        assert (positive.positive, positive.x, positive.y) == (True, 30.0, 30.0)

    def test_without_such_an_error_it_lies_in_the_middle_of_its_side(self) -> None:
        negative = signed_click(self.target, self.nothing, False)
        assert negative is not None
        assert not self.target[int(negative.y), int(negative.x)]
        assert not negative.positive
        assert signed_click(np.ones((5, 5), bool), np.ones((5, 5), bool), False) is None

    def test_the_robot_follows_them_beside_a_phrase(self) -> None:
        (truth,) = truth_of(self.target)
        truth = replace(truth, phrase="disc")
        user = RobotUser(4, phrase_at=1, signs="+-+")
        actions = [next_action(user, None, truth, self.target, k, Click(30, 30)) for k in (2, 3, 4)]  # type: ignore[arg-type]
        assert actions[0] == "disc"
        assert [action.positive for action in actions[1:] if isinstance(action, Click)] == [False, True]


def test_the_papers_taps_lie_within_50_pixels_of_the_centre_of_mass() -> None:
    target = np.ones((300, 400), bool)
    rng = np.random.default_rng(0)
    taps = [click_at("tap-50", target, rng) for _ in range(200)]
    offsets = np.array([(click.x - 199.5, click.y - 149.5) for click in taps])
    assert 45 < np.abs(offsets).max() <= 50.5
    assert click_at("tap-50", target, np.random.default_rng(3)) == tap(target, np.random.default_rng(3))
