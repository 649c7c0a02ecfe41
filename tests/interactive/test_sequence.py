"""Sequences: proposals against equations 2 and 3, learning, retracted masks and validation."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sequences import QUICK, SMALL, annotate, photo_with, same

from conftest import disc
from saywhere import Click, Prompt, SaywhereError, Segmenter, Sequence
from saywhere.core.geometry import ImageSize
from saywhere.interactive.sequence import SequenceOptions, proposal
from saywhere.interactive.sequence.memory import StoredExample, add_example, decompress, remove_example, store_example
from saywhere.interactive.sequence.proposal import ProposalOutcome
from saywhere.interactive.sequence.purification import PurificationLearner
from saywhere.runtime.torch import TorchRuntime
from saywhere.runtime.weights import load_runtime


class TestEquations:
    def test_2_and_3_by_hand(self) -> None:
        # Two cells, (3, 4) and (0, 2); a bank of (1, 0) and (0, 5).
        level = np.array([[[3.0, 0.0]], [[4.0, 2.0]]], np.float32)
        bank = np.array([[1.0, 0.0], [0.0, 5.0]], np.float32)
        # First cell: (3/5 + 4/5) / 2, second: (0 + 1) / 2.
        assert proposal.mean_cosine(level, bank)[0].tolist() == pytest.approx([0.7, 0.5])

    def test_several_levels_are_averaged_on_the_image(self) -> None:
        fine = np.zeros((2, 4, 4), np.float32)
        fine[0] = 1.0
        coarse = np.zeros((1, 2, 2), np.float32)
        coarse[0, :, 0], coarse[0, :, 1] = 1.0, -1.0
        banks = [np.array([[0.6, 0.8]], np.float32), np.array([[2.0]], np.float32)]
        confidence = proposal.confidence_map([fine, coarse], banks, (4, 8), ImageSize(15, 13))
        assert confidence.shape == (15, 13)
        assert confidence[0, 0] == pytest.approx((0.6 + 1.0) / 2)
        assert confidence[0, 12] == pytest.approx((0.6 - 1.0) / 2)

    def test_the_best_pixel_is_after_the_filter_and_outside_the_ignore_mask(self) -> None:
        confidence = np.zeros((40, 60), np.float32)
        confidence[5, 5] = 5.0  # a single pixel
        confidence[20:29, 40:49] = 1.0
        nothing = np.zeros((40, 60), np.bool_)
        assert proposal.propose_click(confidence, nothing, 1) == (Click(5.0, 5.0), 5.0)
        click, value = proposal.propose_click(confidence, nothing, 9) or (None, 0.0)
        assert click == Click(44.0, 24.0)
        assert value == pytest.approx(1.0)
        best = proposal.propose_click(confidence, confidence > 0.5, 3)
        assert best is not None
        assert confidence[int(best[0].y), int(best[0].x)] == 0.0
        assert proposal.propose_click(confidence, ~nothing, 3) is None

    def test_a_click_lies_in_the_cell_under_it(self) -> None:
        assert proposal.cell_at(Click(0.0, 31.5), 32, (3, 4)) == (1, 0)  # 31.5 is the first row's last half pixel
        assert proposal.cell_at(Click(127.4, 31.4), 32, (3, 4)) == (0, 3)

    def test_the_probability_follows_the_outcomes_of_earlier_proposals(self) -> None:
        probability, even = proposal.success_probability, proposal.EVEN_CONFIDENCE
        assert probability(even, ()) == pytest.approx(0.5)
        low = [ProposalOutcome(i, even - 0.1, True) for i in range(10)]
        high = [ProposalOutcome(i, even + 0.05, False) for i in range(10)]
        assert probability(even - 0.1, low) > 0.5 > probability(even - 0.1, ())
        assert probability(even + 0.05, high) < 0.5 < probability(even + 0.05, ())
        # At the most likely offset the gradient, sum(correct - expected) - PRIOR_PRECISION * offset, is 0.
        expected = probability(high[0].confidence, high)
        offset = np.log(expected / (1 - expected)) - proposal.CONFIDENCE_SLOPE * 0.05
        assert -10 * expected - proposal.PRIOR_PRECISION * offset == pytest.approx(0.0, abs=1e-6)


class TestProposals:
    def test_similar_objects_are_proposed_one_after_another(self, network: TorchRuntime) -> None:
        options = replace(QUICK, learn=False)
        with Sequence(Segmenter(network, SMALL), "disc", None, options) as seq:
            assert seq.propose(photo_with((30, 30))) is None
            assert seq.confidence_map is None
            seq.segmenter.click(30, 30)
            seq.accept(disc(96, 128, 30, 30, 20))
            two = photo_with((96, 30), (30, 66))
            click = seq.propose(two)
            assert click is not None
            assert tuple(two[int(click.y), int(click.x)]) == (220, 30, 20)
            assert seq.confidence_map is not None
            assert seq.confidence_map.shape == (96, 128)
            first = (96, 30) if click.x > 60 else (30, 66)
            seq.segmenter.add(click)
            seq.accept(disc(96, 128, *first, 20))
            seq.memory = replace(seq.memory, outcomes=tuple(ProposalOutcome(-1, 0.0, True) for _ in range(99)))
            other = seq.propose()
            assert other is not None
            assert not disc(96, 128, *first, 20)[int(other.y), int(other.x)]
            assert seq.segmenter.prompt.clicks == ()

    def test_a_further_proposal_needs_confidence_and_a_rejected_one_is_remembered(self, network: TorchRuntime) -> None:
        with Sequence(Segmenter(network, SMALL), "disc", None, replace(QUICK, learn=False)) as seq:
            annotate(seq, 30, 30)
            first = seq.propose(photo_with((96, 30)))
            assert first is not None
            seq.reject()
            assert not seq.memory.outcomes[-1].correct
            seq.memory = replace(seq.memory, outcomes=tuple(ProposalOutcome(-1, 0.0, True) for _ in range(99)))
            second = seq.propose()
            assert second is not None
            assert max(abs(second.x - first.x), abs(second.y - first.y)) > 5
            seq.memory = replace(seq.memory, outcomes=tuple(ProposalOutcome(-1, 1.0, False) for _ in range(99)))
            assert seq.propose() is None
            with pytest.raises(SaywhereError, match="nothing is proposed"):
                seq.reject()

    def test_arguments_by_their_old_names_work_and_warn(self, network: TorchRuntime) -> None:
        with Sequence(Segmenter(network, SMALL), "disc", None, replace(QUICK, learn=False)) as seq:
            annotate(seq, 30, 30)
            everywhere = np.ones((96, 128), np.bool_)
            with pytest.warns(DeprecationWarning, match="use Sequence.propose: image"):
                assert seq.propose(photo=photo_with((96, 30))) is not None  # type: ignore[call-arg]
            with pytest.warns(DeprecationWarning, match="use Sequence.propose: ignore"):
                assert seq.propose(taken=everywhere) is None  # type: ignore[call-arg]

    def test_an_accepted_mask_decides_whether_the_proposal_was_correct(self, network: TorchRuntime) -> None:
        with Sequence(Segmenter(network, SMALL), "disc", None, replace(QUICK, learn=False)) as seq:
            annotate(seq, 30, 30)
            for correct in (True, False):
                click = seq.propose(photo_with((96, 30)))
                assert click is not None
                mask = np.zeros((96, 128), np.bool_)
                mask[int(click.y), int(click.x)] = True
                seq.segmenter.click(96, 30)
                seq.accept(mask if correct else ~mask)
                assert seq.memory.outcomes[-1].correct is correct

    def test_banked_clicks_are_purified_with_the_latest_parameters(self, network: TorchRuntime) -> None:
        with Sequence(Segmenter(network, SMALL), "disc", None, QUICK) as seq:
            for i in range(3):
                annotate(seq, 30 + 20 * i, 40)
            (click,) = (c for c in seq.memory.clicks if c.number == 2)
            seq.propose(photo_with((70, 40)))  # the same image as the third
            runtime = seq.segmenter.runtime
            encoded = seq.segmenter.encoded
            pure = runtime.levels(encoded.features(encoded.full_crop), "pure")[2]  # type: ignore[attr-defined]
            banked = runtime.purified(2, click.vectors[2].astype(np.float32)[None])[0]  # type: ignore[attr-defined]
            assert not same(seq.learned, seq._learner.start())
            # Banked in float16; the click (70, 40) lies at (52.5, 30) of 96x72 pixels, so in cell (1, 3) at
            # stride 16.
            assert np.allclose(banked, pure[:, 1, 3], atol=1e-2 * np.abs(pure).max())


class TestExamples:
    def test_they_are_stored_small_and_can_be_read_back(self) -> None:
        image = photo_with((40, 50))
        mask = disc(96, 128, 40, 50, 20)
        example = store_example(3, False, image, mask, 64)
        whole, close = (decompress(*crop, 64) for crop in example.crops)
        assert whole[0].shape == close[0].shape == (64, 64, 3)
        assert (whole[2].sum(), close[2].sum()) == (64 * 48, 64 * 64)
        assert whole[1].sum() == pytest.approx(mask.sum() / 4, rel=0.05)
        assert close[1].mean() == pytest.approx(np.pi / 4 / 1.7**2, rel=0.1)
        red = whole[0].astype(int)[whole[1]].mean(axis=0)
        assert np.abs(red - (220, 30, 20)).max() < 25  # lossy compression changes colours a little
        assert sum(len(a) + len(b) for a, b in example.crops) < 4000

    def test_a_full_bank_drops_an_old_example_of_the_same_kind(self) -> None:
        options = SequenceOptions(bank=4, held_out=2)
        bank: tuple[StoredExample, ...] = ()
        for number in range(20):
            bank = add_example(bank, StoredExample(number, number % 2 == 1, ()), options)
        assert [one.is_validation for one in bank].count(True) == 2
        assert [one.is_validation for one in bank].count(False) == 4
        assert {18, 19} <= {one.number for one in bank}

    def test_the_smallest_bank_still_has_a_validation_example(self) -> None:
        bank: tuple[StoredExample, ...] = ()
        for number in range(12):
            bank = add_example(bank, StoredExample(number, number % 5 == 4, ()), SequenceOptions(bank=1))
        assert [(one.number, one.is_validation) for one in bank] == [(9, True), (11, False)]

    def test_after_a_removal_they_are_as_if_it_had_never_been_added(self) -> None:
        options = SequenceOptions(held_out=3)
        bank: tuple[StoredExample, ...] = ()
        for number in range(6):
            bank = add_example(bank, StoredExample(number, number % 3 == 2, ()), options)
        assert [(one.number, one.is_validation) for one in remove_example(bank, 1, options)] == [
            (0, False), (2, False), (3, True), (4, False), (5, False)]  # fmt: skip


class TestLearning:
    def test_only_the_purification_layer_learns_and_the_first_runtime_does_not_change(
        self, network: TorchRuntime
    ) -> None:
        before = {name: value.clone() for name, value in network.model.state_dict().items()}
        with Sequence(Segmenter(network, SMALL), "disc", None, QUICK) as seq:
            annotate(seq, 30, 30)
            learned = seq.learned.parameters
            assert set(learned) == set(network.model.purification.state_dict())  # type: ignore[union-attr]
            moved = [key for key, value in learned.items() if not np.array_equal(value, seq._learner.initial[key])]
            assert any("weight" in key for key in moved)
            seq.propose(photo_with((60, 60)))
            adapted = seq.segmenter.runtime.model  # type: ignore[attr-defined]
            assert adapted.head is network.model.head
            assert adapted.purification is not network.model.purification
        assert all(torch.equal(value, network.model.state_dict()[name]) for name, value in before.items())
        assert seq.segmenter.runtime is network

    def test_learning_lowers_the_loss_of_its_examples(self) -> None:
        network, places = load_runtime(device="cpu", backend="torch"), (40, 50)
        examples = [store_example(x, False, photo_with((x, 50)), disc(96, 128, x, 50, 20), 64) for x in places]
        learner = PurificationLearner(network, replace(QUICK, steps=10, batch=4, rate=0.5))
        learned = learner.rebuild(examples)
        losses = []
        for parameters in (learner.initial, learned.parameters):
            runtime = network.with_purification(parameters)
            encoded = [learner._encode(*crop) for example in examples for crop in example.crops]
            losses.append(
                np.mean(
                    [
                        runtime.purification_gradient(
                            [level.astype(np.float32) for level in example.raw],
                            Prompt((Click(30, 30),)),
                            example.target,
                            np.ones_like(example.target),
                        )[0]
                        for example in encoded
                        if example is not None
                    ]
                )
            )
        assert losses[1] < 0.9 * losses[0], losses

    def test_it_depends_on_the_seed_and_the_examples_alone(self, network: TorchRuntime) -> None:
        examples = [store_example(i, False, photo_with((40, 50)), disc(96, 128, 40, 50, 20), 64) for i in range(2)]
        first, second, third = (
            PurificationLearner(network, replace(QUICK, seed=seed)).rebuild(examples) for seed in (0, 0, 1)
        )
        assert same(first, second)
        assert not same(first, third)

    def test_a_retracted_mask_leaves_no_trace(self, network: TorchRuntime) -> None:
        with Sequence(Segmenter(network, SMALL), "disc", None, QUICK) as seq:
            for i in range(3):
                annotate(seq, 30 + 20 * i, 40)
            seq.propose(photo_with((50, 50)))
            seq.segmenter.click(50, 50)
            bad = seq.accept(~disc(96, 128, 50, 50, 20))
            annotate(seq, 90, 40)
            seq.retract(bad)
            annotate(seq, 60, 60)
        with Sequence(Segmenter(network, SMALL), "disc", None, QUICK) as never:
            for x, y in ((30, 40), (50, 40), (70, 40), (90, 40), (60, 60)):
                annotate(never, x, y)
        assert same(seq.learned, never.learned)
        assert len(seq.memory.clicks) == len(never.memory.clicks) == 5
        with pytest.raises(SaywhereError, match=r"retract\(99\)"):
            seq.retract(99)

    def test_a_round_that_harms_the_validation_examples_is_undone(self, network: TorchRuntime) -> None:
        options = replace(QUICK, rate=1e4, held_out=2)
        with Sequence(Segmenter(network, SMALL), "disc", None, options) as seq:
            annotate(seq, 30, 40)
            assert not same(seq.learned, seq._learner.start())
            seq._learner.score = lambda parameters, examples: float(parameters is seq._learner.initial)  # type: ignore[method-assign]
            annotate(seq, 60, 40)
            assert same(seq.learned, seq._learner.start())
            assert seq.learned.rollbacks == 1

    def test_labels_do_not_affect_each_other(self, network: TorchRuntime, tmp_path: Path) -> None:
        segmenter = Segmenter(network, SMALL)
        with Sequence(segmenter, "red disc", tmp_path, QUICK) as alone:
            for i in range(3):
                annotate(alone, 30 + 20 * i, 40)
        with Sequence(segmenter, "a", tmp_path, QUICK) as a, Sequence(segmenter, "b", tmp_path, QUICK) as b:
            for i in range(3):
                annotate(a, 30 + 20 * i, 40)
                b.propose(photo_with((90, 60), colour=(10, 200, 30)))
                b.segmenter.click(90, 60)
                b.accept(disc(96, 128, 90, 60, 20))
        assert same(a.learned, alone.learned)
        assert not same(b.learned, alone.learned)

    def test_an_interval_decides_which_masks_were_learned_from(self, network: TorchRuntime) -> None:
        """The parameters for image n were learned from the first n - delta masks."""
        for interval in (1, 2, 3):
            with Sequence(Segmenter(network, SMALL), "disc", None, replace(QUICK, interval=interval)) as seq:
                rounds = []
                for i in range(4):
                    annotate(seq, 30 + 20 * i, 40)
                    assert seq._adapted is not None
                    rounds.append(seq._adapted[0].rounds)
            assert rounds == [max(n - interval, 0) for n in (1, 2, 3, 4)]

    def test_a_click_never_waits_for_learning_and_uses_finished_parameters(self, network: TorchRuntime) -> None:
        with Sequence(Segmenter(network, SMALL), "disc", None, replace(QUICK, interval=None)) as seq:
            annotate(seq, 30, 40)
            seq.wait()
            finished, go = seq.learned, threading.Event()
            learn = seq._learner.round
            seq._learner.round = lambda *arguments: (go.wait(300), learn(*arguments))[1]  # type: ignore[method-assign,return-value]
            for i in range(3):
                annotate(seq, 50 + 20 * i, 40)
            assert seq.learned is finished, "it is still learning"
            assert seq._adapted is not None
            assert seq._adapted[0] is finished
            go.set()
            seq.wait()
            assert seq.learned.rounds == 4
            seq.propose(photo_with((40, 40)))
            assert seq._adapted[0] is seq.learned
