"""Optimisers, schedules, reductions, sampling and crops that the papers' procedures need, checked by hand."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from recipes import recipe_for

from saywhere import SaywhereError
from saywhere.core.geometry import ImageSize
from saywhere.models import losses
from saywhere.models.checkpoint import load_model, read_tensors
from saywhere.models.layers.phrase import attribute_loss
from saywhere.training.augment import recolour, scale_transform, stretch_transform, warp
from saywhere.training.batch import collate
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import launch
from saywhere.training.loop import train
from saywhere.training.recipe_files import read_recipe
from saywhere.training.recipe_parts import AugmentRecipe, CropRecipe, OptimiserRecipe
from saywhere.training.schedule import LearningRate
from saywhere.training.stages import CHECKPOINT, WEIGHTS
from saywhere.training.targets import list_targets, sampling_probabilities
from saywhere.training.trainer import Trainer, build_optimiser

NOTHING = AugmentRecipe(
    flip_prob=0, rotation_prob=0, aspect_jitter=0, brightness_prob=0, hue_prob=0, grey_prob=0, blur_prob=0,
    noise_prob=0, jpeg_prob=0,
)  # fmt: skip
SGD = {"name": "sgd", "lr": 0.01, "momentum": 0.9, "warmup_steps": 0, "schedule": {"name": "constant"},
       "grad_clip_norm": None, "ema_decay": None}  # fmt: skip


def rates(schedule: dict[str, Any], at: list[int], steps: int = 100, **settings: Any) -> list[float]:
    given = OptimiserRecipe.model_validate({"lr": 1.0, "warmup_steps": 0, "schedule": schedule, **settings})
    schedule_of_run = LearningRate(given, steps, epoch_steps=4.0)
    return [schedule_of_run.at(step, step / steps) for step in at]


class TestSchedules:
    def test_constant(self) -> None:
        assert rates({"name": "constant"}, [0, 50, 100]) == [1.0, 1.0, 1.0]

    def test_step_counts_epochs_or_steps(self) -> None:
        epochs = {"name": "step", "period": 10, "factor": 0.1}
        assert rates(epochs, [0, 39, 40, 79, 80]) == pytest.approx([1, 1, 0.1, 0.1, 0.01])
        assert rates({**epochs, "unit": "steps"}, [9, 10, 25]) == pytest.approx([1, 0.1, 0.01])

    def test_exponential_goes_on_each_epoch(self) -> None:
        values = rates({"name": "exponential", "factor": 0.95}, [0, 3, 4, 40])
        assert values == pytest.approx([1, 1, 0.95, 0.95**10])

    def test_polynomial_ends_at_its_floor(self) -> None:
        values = rates({"name": "polynomial", "power": 0.9}, [0, 25, 100], final_lr_factor=0.01)
        assert values == pytest.approx([1.0, 0.99 * 0.75**0.9 + 0.01, 0.01])

    def test_warm_up_is_a_factor(self) -> None:
        assert rates({"name": "constant"}, [0, 4, 9, 20], warmup_steps=10) == pytest.approx([0.1, 0.5, 1.0, 1.0])

    def test_a_time_limit_goes_through_all_of_it(self) -> None:
        settings = OptimiserRecipe.model_validate({"lr": 1.0, "warmup_steps": 0, "schedule": {"name": "polynomial"}})
        rate = LearningRate(settings, 1000, 10.0)
        # Three steps made, half of the time over; then back, as after a resumed checkpoint.
        assert rate.at(3, 0.5) == pytest.approx(0.99 * 0.5**0.9 + 0.01)
        assert rate.at(4, 0.25) == pytest.approx(0.99 * 0.75**0.9 + 0.01)


class TestOptimisers:
    @pytest.mark.parametrize(
        ("settings", "kind"),
        [
            ({"name": "adamw"}, torch.optim.AdamW),
            ({"name": "adam"}, torch.optim.Adam),
            ({"name": "sgd", "momentum": 0.9, "nesterov": True}, torch.optim.SGD),
        ],
    )
    def test_torchs_own_classes(self, settings: dict[str, Any], kind: type) -> None:
        parameter = torch.nn.Parameter(torch.ones(2, 2))
        groups = [{"params": [parameter], "weight_decay": 0.0}]
        recipe = OptimiserRecipe.model_validate({**settings, "weight_decay": 0.5})
        optimiser = build_optimiser(recipe, groups)
        assert type(optimiser) is kind
        assert optimiser.param_groups[0]["weight_decay"] == 0.0
        everywhere = build_optimiser(recipe.model_copy(update={"decay_all": True}), groups)
        assert everywhere.param_groups[0]["weight_decay"] == 0.5

    def test_two_steps_with_nesterov_by_hand(self) -> None:
        parameter = torch.nn.Parameter(torch.zeros(1))
        recipe = OptimiserRecipe.model_validate({"name": "sgd", "lr": 0.1, "momentum": 0.9, "nesterov": True})
        optimiser = build_optimiser(recipe, [{"params": [parameter], "weight_decay": 0.0}])
        for _ in range(2):
            parameter.grad = torch.ones(1)
            optimiser.step()
        # buffers 1 and 1.9; the steps are 1 + 0.9 * 1 and 1 + 0.9 * 1.9
        assert parameter.item() == pytest.approx(-0.1 * (1.9 + 2.71))

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ("optimiser.momentum=0.9", "momentum and nesterov are of sgd, not of adamw"),
            ("optimiser={name: sgd, nesterov: true}", "nesterov needs a momentum"),
            ("optimiser.name=lion", "optimiser.name: "),
            ("optimiser.schedule.name=linear", "optimiser.schedule.name: "),
            ("steps=3 epochs", "'3 epochs' takes epoch_samples"),
            ("clicks.positive_clicks=[0, 3]", "give the fewest and the most clicks, at least 1"),
        ],
    )
    def test_a_fault_is_named(self, change: str, words: str) -> None:
        with pytest.raises(SaywhereError, match=re.escape(words)):
            read_recipe("dctnet-small", [change])

    def test_epochs_are_steps(self) -> None:
        recipe = read_recipe("dctnet-small", ["steps=2.5 epochs", "epoch_samples=100", "batch=8"])
        assert recipe.steps == 32  # 250 samples in batches of 8

    def test_without_average_the_result_is_what_was_trained(self, coco: Path, tmp_path: Path) -> None:
        recipe = recipe_for(coco, optimiser=SGD)
        written = train(recipe, tmp_path / "run")
        tensors = read_tensors(tmp_path / "run" / CHECKPOINT)[0]
        assert not [name for name in tensors if name.startswith("average.")]
        exported = load_model(written).model.state_dict()
        for name in ("head.0.0.weight", "head.0.1.running_mean"):
            assert torch.allclose(exported[name], tensors[f"model.{name}"], atol=1e-3)  # matrices in half precision

    def test_momentum_is_kept_in_a_checkpoint(self, coco: Path, tmp_path: Path) -> None:
        whole = train(recipe_for(coco, optimiser=SGD, steps=4), tmp_path / "whole")
        train(recipe_for(coco, optimiser=SGD, steps=2), tmp_path / "parts")
        (tmp_path / "parts" / WEIGHTS).unlink()
        parts = train(recipe_for(coco, optimiser=SGD, steps=4), tmp_path / "parts", resume=True)
        one, other = read_tensors(whole)[0], read_tensors(parts)[0]
        assert [name for name in one if not torch.equal(one[name], other[name])] == []

    def test_without_clipping_a_step_is_as_long_as_its_gradient(self, coco: Path) -> None:
        moved = []
        for norm in (1e-6, None):
            recipe = recipe_for(coco, optimiser={**SGD, "grad_clip_norm": norm, "weight_decay": 0.0})
            torch.manual_seed(0)
            trainer = Trainer(recipe, launch(recipe), crops := CropDataset(recipe))
            weight = trainer.model.get_parameter("head.1.weight").detach()
            before = weight.clone()
            trainer.learn(collate([crops[0], crops[1]]), 0.0)
            moved.append(float((weight - before).norm()))
        assert moved[0] < 1e-7 < moved[1]


class TestSums:
    def test_a_sum_is_the_mean_times_the_counted_pixels(self) -> None:
        generator = torch.Generator().manual_seed(0)
        logits = torch.randn(2, 1, 4, 4, generator=generator)
        target = (torch.rand(2, 1, 4, 4, generator=generator) > 0.5).float()
        counted = torch.ones(2, 1, 4, 4)
        counted[1, 0, :2] = 0.0
        values = torch.nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none") * counted
        total = losses.total({"bce": 1.0}, logits, target, counted, "sum")
        assert total.item() == pytest.approx(values.sum().item() / 2)  # over pixels, and a mean over the two images

    def test_attributes_by_hand(self) -> None:
        logits, present = torch.tensor([[0.0, 2.0], [0.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 0.0]])
        expected = np.log(2) + 3.0 * np.log1p(np.exp(2.0)) + np.log(2) + 3.0 * np.log(2)
        weights = torch.tensor([1.0, 3.0])
        assert attribute_loss(logits, present, weights, "sum").item() == pytest.approx(expected)
        assert attribute_loss(logits, present, weights).item() == pytest.approx(expected / 4)

    def test_a_recipe_sums(self, coco: Path) -> None:
        values = []
        for reduction in ("mean", "sum"):
            recipe = recipe_for(coco, loss={"bce": 1.0}, loss_reduction=reduction, clicks={"max_rounds": 1})
            torch.manual_seed(0)
            trainer = Trainer(recipe, launch(recipe), crops := CropDataset(recipe))
            values.append((trainer.learn(batch := collate([crops[0], crops[1]]), 0.0), batch))
        (mean, _), (total, batch) = values
        fewest, most = (int((1 - batch.ignore.int()).sum((1, 2, 3)).sort().values[i]) for i in (0, -1))
        assert fewest * mean * 0.99 <= total <= most * mean * 1.01


class TestSampling:
    def recipe(self, coco: Path, **sampling: Any) -> Any:
        """Six images of an object each, of which the first has a second one; and one image of another set."""
        content = json.loads(coco.read_text())
        extra = {**content["annotations"][0], "id": 100, "segmentation": [[0, 0, 15, 0, 15, 15, 0, 15]]}
        coco.write_text(json.dumps({**content, "annotations": [*content["annotations"], extra]}))
        other = coco.with_name("other.json")
        other.write_text(
            json.dumps({**content, "images": content["images"][:1], "annotations": content["annotations"][:1]})
        )
        plain = {"part_weight": 1.0, "small_area": 0.0}
        return recipe_for(coco, data=[{"path": str(coco)}, {"path": str(other)}], sampling={**plain, **sampling})

    def probabilities(self, coco: Path, **sampling: Any) -> dict[tuple[int, str], float]:
        recipe = self.recipe(coco, **sampling)
        targets = list_targets(recipe)
        drawn = sampling_probabilities(recipe, targets, recipe.sampling)
        return {(t.data, t.sample.name): float(p) for t, p in zip(targets, drawn, strict=True)}

    def test_objects_of_balanced_sets(self, coco: Path) -> None:
        drawn = self.probabilities(coco)
        assert drawn[1, "1"] == pytest.approx(1 / 2)
        assert drawn[0, "1"] == drawn[0, "2"] == pytest.approx(1 / 14)

    def test_objects_of_all_sets_alike(self, coco: Path) -> None:
        drawn = self.probabilities(coco, balance_sets=False)
        assert len(drawn) == 8
        assert list(drawn.values()) == pytest.approx([1 / 8] * 8)

    def test_images_of_all_sets_alike(self, coco: Path) -> None:
        drawn = self.probabilities(coco, unit="image", balance_sets=False)
        assert drawn[0, "1"] == drawn[0, "100"] == pytest.approx(1 / 14)
        assert drawn[0, "2"] == drawn[1, "1"] == pytest.approx(1 / 7)

    def test_an_epoch_is_of_what_is_drawn(self, coco: Path) -> None:
        assert CropDataset(self.recipe(coco)).epoch_samples == 8

    def test_an_epoch_of_images(self, coco: Path) -> None:
        assert CropDataset(self.recipe(coco, unit="image")).epoch_samples == 7


class TestCrops:
    image = np.random.default_rng(0).integers(0, 256, (30, 60, 3), np.uint8)

    def test_a_stretched_image_is_a_resized_image(self) -> None:
        transform = stretch_transform(ImageSize(30, 60), 120, np.random.default_rng(0), NOTHING)
        assert transform == pytest.approx(np.array([[2.0, 0.0, 0.0], [0.0, 4.0, 0.0]]))

    def test_a_scaled_image_is_cut_inside(self) -> None:
        rng = np.random.default_rng(0)
        for base, expected in (("image", 2.0), ("size", 2.0 * 20 / 30)):
            settings = CropRecipe(mode="scale", scale=(2.0, 2.0), scale_base=base)
            for _ in range(20):
                transform = scale_transform(ImageSize(30, 60), 20, settings, rng, NOTHING)
                assert transform[0, 0] == transform[1, 1] == pytest.approx(expected)
                left, top = -transform[:, 2] / expected
                assert 0 <= left <= 60 - 20 / expected
                assert 0 <= top <= 30 - 20 / expected

    def test_without_augmentation_pixels_stay(self, coco: Path) -> None:
        assert np.array_equal(recolour(self.image, np.random.default_rng(0), NOTHING), self.image)
        crop = {"size": 96, "mode": "stretch"}
        crops = CropDataset(recipe_for(coco, crop=crop, augment=NOTHING.model_dump()))
        crop_of = crops[0]
        path = crops.targets[crops._draw(0, np.random.default_rng((0, 0, 0))).target].sample.image_path
        image = np.asarray(Image.open(path).convert("RGB"))
        transform = stretch_transform(ImageSize(*image.shape[:2]), 96, np.random.default_rng(0), NOTHING)
        assert np.array_equal(crop_of.image.numpy().transpose(1, 2, 0), warp(image, transform, 96))

    def test_flips_alone(self) -> None:
        flips = NOTHING.model_copy(update={"flip_prob": 1.0})
        transform = stretch_transform(ImageSize(30, 60), 60, np.random.default_rng(0), flips)
        assert transform == pytest.approx(np.array([[-1.0, 0.0, 60.0], [0.0, 2.0, 0.0]]))

    def test_as_many_clicks_as_a_recipe_says(self, coco: Path) -> None:
        clicks = {"multi_click_prob": 1.0, "positive_clicks": [2, 2], "negative_clicks": [0, 0], "drag_prob": 0.0}
        crops = CropDataset(recipe_for(coco, clicks=clicks))
        prompts = [crops[number].prompt.clicks for number in range(6)]
        assert max(len(clicks) for clicks in prompts) == 2  # fewer where they would be too close to each other
        assert all(click.positive for clicks in prompts for click in clicks)


def test_what_a_recipe_does_not_say_is_as_before(coco: Path) -> None:
    recipe = recipe_for(coco)
    assert (recipe.optimiser.name, recipe.optimiser.schedule.name, recipe.loss_reduction) == ("adamw", "cosine", "mean")
    assert (recipe.sampling.unit, recipe.sampling.balance_sets, recipe.crop.mode) == ("object", True, "object")
