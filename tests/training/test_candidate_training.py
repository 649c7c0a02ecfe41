"""Training with candidate masks, box prompts and first clicks as people make them."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, ClassVar

import cv2
import pytest
import torch
from recipes import SMALL, recipe_for

from saywhere import Click, Prompt, SaywhereError
from saywhere.core import robot
from saywhere.data.datasets import load_dataset
from saywhere.models import candidate_losses, losses
from saywhere.models.base import Candidates
from saywhere.models.checkpoint import load_model, save_model
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.weights import shipped
from saywhere.training.batch import collate
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import launch
from saywhere.training.initialise import find_start
from saywhere.training.loop import train
from saywhere.training.phrases import label_vectors
from saywhere.training.recipe_files import read_recipe
from saywhere.training.recipe_parts import ClicksRecipe
from saywhere.training.stages import list_stages
from saywhere.training.step import consistency_loss, round_loss, step_losses
from saywhere.training.targets import list_targets, sampling_probabilities

EVERYTHING: dict[str, Any] = {
    "model": {"name": "saywhere", "options": {**SMALL, "candidates": 3, "box": True}},
    "clicks": {
        "max_rounds": 3,
        "multi_click_prob": 0.1,
        "box_prob": 0.5,
        "first_click": {"centre": 0.2, "tap": 0.3, "uniform": 0.3, "rim": 0.2},
        "consistency_weight": 0.5,
        "part_single_click_prob": 0.5,
    },
    "candidates": {"first_mean_share": 0.05, "lr_factor": 3.0},
}


def masks(*rows: list[float]) -> torch.Tensor:
    """Logits or masks ``(1, n, 1, 4)``."""
    return torch.tensor(rows).reshape(1, len(rows), 1, -1)


class TestCandidateLosses:
    target = masks([1.0, 1.0, 0.0, 0.0])
    counted = torch.ones(1, 1, 1, 4)
    logits = masks([9.0, 9.0, -9.0, -9.0], [9.0, -9.0, -9.0, -9.0], [9.0, 9.0, 9.0, 9.0])

    def test_each_candidate_has_the_loss_of_a_single_mask(self) -> None:
        values = losses.weighted_sum({"bce": 1.0, "dice": 2.0}, self.logits, self.target, self.counted)
        for i in range(3):
            alone = losses.total({"bce": 1.0, "dice": 2.0}, self.logits[:, i : i + 1], self.target, self.counted)
            assert values[0, i].item() == pytest.approx(alone.item())

    def test_minimum_and_mean_by_hand(self) -> None:
        values = torch.tensor([[1.0, 2.0, 6.0], [4.0, 5.0, 9.0], [4.0, 5.0, 9.0]])
        mixed = candidate_losses.minimum_and_mean(values, torch.tensor([0.0, 0.5, 1.0]))
        assert mixed.tolist() == [1.0, 0.5 * 4.0 + 0.5 * 6.0, 6.0]

    def test_only_the_best_candidate_learns_from_the_minimum(self) -> None:
        logits = (0.1 * self.logits).requires_grad_()
        values = losses.weighted_sum({"bce": 1.0}, logits, self.target, self.counted)
        candidate_losses.minimum_and_mean(values, torch.zeros(1)).sum().backward()
        assert logits.grad is not None
        assert [bool(part.any()) for part in logits.grad[0]] == [True, False, False]

    def test_true_ious_by_hand(self) -> None:
        ious = candidate_losses.candidate_ious(self.logits, self.target, self.counted)
        assert ious.tolist() == [[1.0, 0.5, 0.5]]
        without_last = torch.tensor([1.0, 1.0, 1.0, 0.0]).reshape(1, 1, 1, 4)
        ious = candidate_losses.candidate_ious(self.logits, self.target, without_last)
        assert ious[0].tolist() == pytest.approx([1.0, 0.5, 2 / 3])

    def test_regression_by_hand(self) -> None:
        ious = torch.tensor([[0.25, 1.0]])
        right = torch.tensor([[math.log(0.25 / 0.75), 40.0]])
        assert candidate_losses.iou_regression(right, ious).item() == pytest.approx(0.0, abs=1e-6)
        half = candidate_losses.iou_regression(torch.zeros(1, 2), ious).item()
        entropy = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))
        assert half == pytest.approx((2 * math.log(2) - entropy) / 2)

    def test_ranking_by_hand(self) -> None:
        ious = torch.tensor([[0.9, 0.4, 0.4], [0.2, 0.8, 0.5]])
        scores = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 0.0]])

        def wrong(margin: float) -> float:
            return math.log(1 + math.exp(-margin))

        expected = 0.5 * wrong(-1) + 0.5 * wrong(1) + (0.6 + 0.3 + 0.3) * wrong(0)
        loss = candidate_losses.ranking(scores, ious).item()
        assert loss == pytest.approx(expected / 2.2)

    def test_equally_good_candidates_need_no_order(self) -> None:
        assert candidate_losses.ranking(torch.randn(4, 3), torch.full((4, 3), 0.6)).item() == 0.0

    def test_ranking_moves_scores_apart_without_changing_their_sum(self) -> None:
        scores = torch.zeros(1, 3, requires_grad=True)
        candidate_losses.ranking(scores, torch.tensor([[0.9, 0.2, 0.5]])).backward()
        assert scores.grad is not None
        best, worst, middle = scores.grad[0].tolist()
        assert best < middle < worst  # descent raises the score of the best
        assert best + middle + worst == pytest.approx(0.0, abs=1e-6)


class TestRound:
    target, counted = torch.zeros(2, 1, 8, 8), torch.ones(2, 1, 8, 8)

    def test_one_mask_has_the_loss_of_before(self, coco: Path) -> None:
        logits = torch.randn(2, 1, 8, 8)
        recipe = recipe_for(coco)
        loss = round_loss(Candidates(logits, torch.zeros(2, 1)), self.target, self.counted, [Prompt()] * 2, recipe)
        assert torch.equal(loss, losses.total(recipe.loss, logits, self.target, self.counted))

    def test_after_one_interaction_one_candidate_is_to_be_right_and_later_all(self, coco: Path) -> None:
        recipe = recipe_for(coco, candidates={"iou_weight": 0.0, "ranking_weight": 0.0})
        first, more = Prompt((Click(1, 1),)), Prompt((Click(1, 1), Click(2, 2)))
        for prompts, learning in (([first, first], 2), ([first, more], 4), ([more, more], 6)):
            logits = torch.randn(2, 3, 8, 8, requires_grad=True)
            round_loss(Candidates(logits, torch.zeros(2, 3)), self.target, self.counted, prompts, recipe).backward()
            assert logits.grad is not None
            assert int(logits.grad.flatten(2).any(2).sum()) == learning

    def test_scores_learn_by_both_losses(self, coco: Path) -> None:
        logits, prompts = torch.randn(2, 3, 8, 8), [Prompt((Click(1, 1),))] * 2
        target = (torch.rand(2, 1, 8, 8) > 0.5).float()

        def loss(**settings: float) -> float:
            recipe = recipe_for(coco, candidates={"iou_weight": 0.0, "ranking_weight": 0.0, **settings})
            scores = Candidates(logits, torch.tensor([[0.0, 1.0, 3.0], [2.0, 0.0, 1.0]]))
            return round_loss(scores, target, self.counted, prompts, recipe).item()

        ious = candidate_losses.candidate_ious(logits, target, self.counted)
        scores = torch.tensor([[0.0, 1.0, 3.0], [2.0, 0.0, 1.0]])
        regression, ranked = candidate_losses.iou_regression(scores, ious), candidate_losses.ranking(scores, ious)
        assert loss(iou_weight=2.0) - loss() == pytest.approx(2.0 * regression.item(), rel=1e-4)
        assert loss(ranking_weight=3.0) - loss() == pytest.approx(3.0 * ranked.item(), rel=1e-4)

    def test_a_step_reaches_the_masks_and_the_scores(self, coco: Path) -> None:
        torch.manual_seed(0)
        recipe = recipe_for(coco, **EVERYTHING)
        crops = CropDataset(recipe)
        batch = collate([crops[i] for i in range(4)])
        model = Saywhere(**recipe.model.options).train()
        assert model.candidate_scores is not None
        torch.nn.init.normal_(model.candidate_scores.last.weight)
        (loss,) = step_losses(model, batch, recipe, launch(recipe), label_vectors(crops.labels))
        assert loss is not None
        loss.backward()
        assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.candidate_scores.parameters())
        weight = model.head[1].weight
        assert isinstance(weight, torch.nn.Parameter)
        assert weight.grad is not None
        parts = weight.grad.flatten(1).split(4)
        assert len(parts) == 3
        assert not torch.allclose(parts[0], parts[1])

    def test_consistency_is_with_the_click_at_the_centre(self, coco: Path) -> None:
        torch.manual_seed(0)
        recipe = recipe_for(coco, **EVERYTHING)
        crops = CropDataset(recipe)
        samples = [s for s in (crops[i] for i in range(40)) if s.centre is not None][:3]
        batch = collate(samples)
        model = Saywhere(**recipe.model.options).eval()
        torch.nn.init.normal_(model.head[1].weight, std=100.0)  # so that masks differ clearly
        features = model.encode(batch.image.float() / 255.0)
        counted = torch.ones_like(batch.target).float()
        candidates = model.decode_candidates(features, batch.prompts, None)
        loss = consistency_loss(model, features, candidates, counted, batch)
        assert loss.requires_grad
        centred = [Prompt((s.centre,), s.prompt.phrase, s.prompt.box) for s in samples if s.centre is not None]
        same = model.decode_candidates(features, centred, None)
        least = consistency_loss(model, features, same, counted, batch)
        assert 0.0 < least.item() < loss.item()


class TestFirstClicks:
    def test_frequencies(self, coco: Path) -> None:
        clicks = {"first_click": {"rim": 1.0}, "multi_click_prob": 0.0, "drag_prob": 0.0}
        crops = CropDataset(recipe_for(coco, clicks=clicks))
        for sample in (crops[i] for i in range(12)):
            if len(sample.prompt.clicks) == 1:
                (click,) = sample.prompt.clicks
                depth = robot.boundary_distance(sample.target[0].numpy() > 0)
                assert depth[int(click.y), int(click.x)] <= max(0.2 * depth.max(), 3.0)
                assert sample.centre is None  # nothing is compared by default

    @pytest.mark.parametrize("frequencies", [{"centre": -1.0, "tap": 2.0}, {"centre": 0.0}, {"edge": 1.0}])
    def test_wrong_frequencies_are_refused(self, frequencies: dict[str, float]) -> None:
        with pytest.raises(ValueError, match="first_click"):
            ClicksRecipe.model_validate({"first_click": frequencies})


class TestBoxes:
    @pytest.mark.parametrize("alone", [0.0, 1.0])
    def test_samples_have_boxes(self, coco: Path, alone: float) -> None:
        crops = CropDataset(recipe_for(coco, clicks={"box_prob": 1.0, "box_only_prob": alone, "box_jitter": 0.0}))
        for sample in (crops[i] for i in range(8)):
            x, y, w, h = cv2.boundingRect(sample.target[0].numpy())
            assert sample.prompt.box == (x, y, x + w, y + h)
            assert bool(sample.prompt.clicks) is (alone == 0.0)

    def test_by_default_samples_are_as_before(self, coco: Path) -> None:
        crops = CropDataset(recipe_for(coco))
        assert all(crops[i].prompt.box is None and crops[i].prompt.clicks for i in range(8))


class TestLabels:
    def test_labels_are_left_out(self, coco: Path) -> None:
        labels = {s.label for s in load_dataset(str(coco))}
        excluded = sorted(label for label in labels if label)[0]
        recipe = recipe_for(coco, data=[{"path": str(coco), "excluded_labels": [excluded]}])
        assert {t.sample.label for t in list_targets(recipe)} == labels - {excluded}

    def test_labels_that_are_no_names_become_no_phrases(self, coco: Path) -> None:
        recipe = recipe_for(coco, data=[{"path": str(coco), "labels_are_names": False}], phrases={"phrase_prob": 1.0})
        crops = CropDataset(recipe)
        assert {t.label for t in crops.targets} == {""}
        assert crops.trained_on == []
        assert {crops[i].prompt.phrase for i in range(12)} == {None}

    def test_a_data_set_without_weight_is_refused(self, coco: Path) -> None:
        labels = {s.label: 0.0 for s in load_dataset(str(coco)) if s.label}
        recipe = recipe_for(coco, data=[{"path": str(coco), "label_weights": labels}])
        targets = [t for t in list_targets(recipe) if t.sample.label]
        with pytest.raises(SaywhereError, match=r"data\.0 .* weight of 0"):
            sampling_probabilities(recipe, targets, recipe.sampling)


def test_weights_that_ship_are_a_start_by_name() -> None:
    assert find_start("saywhere") == shipped()["saywhere"]


def test_a_network_with_everything_is_trained_from_weights_with_one_mask(coco: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    old = tmp_path / "old.safetensors"
    save_model(old, Saywhere(**SMALL), "saywhere", SMALL, {})
    model = {**EVERYTHING["model"], "weights": str(old), "new": ["candidate_scores"], "freeze": ["encoder"]}
    recipe = recipe_for(coco, **{**EVERYTHING, "model": model}, steps=2)
    written = train(recipe, tmp_path / "run")
    loaded = load_model(written).model
    assert loaded.candidates == 3
    assert loaded.boxes
    before, after = load_model(old).model.state_dict(), loaded.state_dict()
    assert not torch.equal(
        after["candidate_scores.last.weight"], torch.zeros_like(after["candidate_scores.last.weight"])
    )
    assert not torch.equal(after["guide.0.weight"][:, 8:], torch.zeros_like(after["guide.0.weight"][:, 8:]))
    assert torch.equal(after["encoder.conv_stem.weight"], before["encoder.conv_stem.weight"])


def test_the_recipe_with_candidates_runs(coco: Path, tmp_path: Path) -> None:
    small = ["batch=2", "workers=0", "precision='32'", "validation=null"]
    small += [f"stages.candidates.{key}" for key in (
        "steps=1", "crop.sizes=[64]", "crop.cached_images=0", f"data=[{{path: {coco}}}]", "model.weights=saywhere",
    )]  # fmt: skip
    stage = next(s for s in list_stages(read_recipe("saywhere", small)) if s.name == "candidates")
    written = train(stage.recipe, tmp_path)
    before, after = load_model(shipped()["saywhere"]).model, load_model(written).model
    assert after.candidates == 3
    for name in ("head.1.weight", "candidate_scores.last.weight"):  # it goes on from what ships
        assert torch.allclose(after.state_dict()[name], before.state_dict()[name], atol=5e-3)


class TestCropSizes:
    SIZES: ClassVar[dict[str, Any]] = {"crop": {"sizes": [64, 96, 128]}}

    def test_a_step_has_one_size_and_steps_have_all(self, coco: Path) -> None:
        recipe = recipe_for(coco, batch=4, **self.SIZES)
        crops = CropDataset(recipe)
        sides = [crops[n].image.shape[-1] for n in range(64)]
        assert all(len(set(sides[n : n + 4])) == 1 for n in range(0, 64, 4))
        assert set(sides) == {64, 96, 128}

    def test_masks_have_the_size_of_the_image(self, coco: Path) -> None:
        sample = CropDataset(recipe_for(coco, crop={"sizes": [96], "copy_paste_prob": 1.0}))[3]
        assert sample.image.shape[1:] == sample.target.shape[1:] == sample.ignore.shape[1:] == (96, 96)

    def test_other_sizes_are_refused(self, coco: Path) -> None:
        with pytest.raises(ValueError, match="multiples of 32"):
            recipe_for(coco, crop={"sizes": [100]})


def test_salient_objects_come_without_a_prompt(coco: Path) -> None:
    data = [{"path": str(coco), "salient": True}]
    without = CropDataset(recipe_for(coco, data=data, clicks={"no_prompt_prob": 1.0, "box_prob": 1.0}))
    assert [len(without[n].prompt) for n in range(8)] == [0] * 8
    other = CropDataset(recipe_for(coco, clicks={"no_prompt_prob": 1.0}))
    assert all(len(other[n].prompt) for n in range(8))


def test_scores_of_a_part_s_single_click_weigh_less() -> None:
    scores, ious = torch.tensor([[1.0, -1.0], [1.0, -1.0]]), torch.tensor([[0.9, 0.1], [0.1, 0.9]])
    whole_alone = candidate_losses.ranking(scores[:1], ious[:1])
    assert candidate_losses.ranking(scores, ious, torch.tensor([1.0, 0.0])).item() == pytest.approx(whole_alone.item())
    regression = candidate_losses.iou_regression(scores, ious, torch.tensor([1.0, 0.0])).item()
    assert regression == pytest.approx(candidate_losses.iou_regression(scores[:1], ious[:1]).item())


def test_parts_weigh_less_after_a_single_click_alone(coco: Path) -> None:
    recipe = recipe_for(coco, **EVERYTHING | {"candidates": {"part_weight": 0.0, "iou_weight": 1.0}})
    candidates = Candidates(torch.tensor([9.0, -9.0]).view(1, 2, 1, 1).expand(1, 2, 4, 4), torch.tensor([[-2.0, 2.0]]))
    target = counted = torch.ones(1, 1, 4, 4)

    def loss(prompt: Prompt, is_part: bool) -> float:
        return round_loss(candidates, target, counted, [prompt], recipe, [is_part]).item()

    click = Click(1, 1)
    assert loss(Prompt((click,)), True) < loss(Prompt((click,)), False)
    for specific in (Prompt((click,), "dog"), Prompt((Click(1, 1, radius=2.0),)), Prompt((click, Click(3, 3, False)))):
        assert loss(specific, True) == loss(specific, False)


def test_boundary_loss_counts_pixels_near_the_boundary_alone() -> None:
    target = torch.zeros(1, 1, 32, 32)
    target[..., :16] = 1.0
    logits, counted = torch.zeros(1, 1, 32, 32), torch.ones(1, 1, 32, 32)
    near, far = logits.clone(), logits.clone()
    near[..., 14] = 9.0
    far[..., 2] = 9.0
    value = losses.boundary_bce(logits, target, counted)
    assert losses.boundary_bce(near, target, counted) < value
    assert losses.boundary_bce(far, target, counted) == value
    assert losses.boundary_bce(logits, torch.zeros_like(target), counted) == 0.0  # no boundary
