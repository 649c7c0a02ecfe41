"""The papers' recipes: each takes a real step on its data in the official layout, with the settings of its paper."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from published_trees import SENTENCES, everything, refcoco, sbd, voc

from saywhere import SaywhereError
from saywhere.models.checkpoint import load_model
from saywhere.training.batch import collate
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import launch
from saywhere.training.loop import train
from saywhere.training.recipe import Recipe
from saywhere.training.recipe_files import read_recipe
from saywhere.training.schedule import LearningRate
from saywhere.training.stages import list_stages
from saywhere.training.targets import list_targets
from saywhere.training.trainer import Trainer, build_optimiser

PUBLISHED = (
    "phraseclick", "textclick", "textclick-refcoco", "textclick-voc", "textclick-openimages", "dctnet", "sequential",
    "multistage", "multistage-msra10k",
)  # fmt: skip
FAST = ("model.options.backbone=resnet18", "model.pretrained=null", "crop.size=64", "batch=2", "workers=0")


def fast(name: str, *more: str) -> Recipe:
    """A recipe with all of its own settings but size, batch, backbone and the weights that cannot be had in a test."""
    relevance = {"textclick": "{weights: saywhere}"}.get(name, "none")
    changes = [f"model.options.relevance={relevance}"] if name.startswith("textclick") else []
    return read_recipe(name, [*FAST, *changes, *more])


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_stage_takes_a_step(root: Path, name: str) -> None:
    everything(root)
    for stage in list_stages(fast(name)):
        crops = CropDataset(stage.recipe)
        torch.manual_seed(0)
        trainer = Trainer(stage.recipe, launch(stage.recipe), crops)
        before = {key: value.clone() for key, value in trainer.model.named_parameters() if value.requires_grad}
        assert math.isfinite(trainer.learn(collate([crops[0], crops[1]]), 0.0))
        moved = [key for key, value in trainer.model.named_parameters() if key in before]
        moved = [key for key in moved if not torch.equal(before[key], trainer.model.get_parameter(key))]
        assert len(moved) > 0.5 * len(before), f"{name}, stage {stage.name}: few parameters move"
        assert trainer.result is trainer.model  # none averages its weights


@pytest.mark.slow
def test_a_whole_run_of_several_stages(root: Path, tmp_path: Path) -> None:
    everything(root)
    written = train(fast("multistage", "steps=1"), tmp_path / "run")
    metadata = load_model(written).metadata
    assert list(metadata["stages"]) == ["early", "late", "together"]
    assert metadata["step"] == 3


class TestSettings:
    """What the papers say, as torch's optimisers have it; section numbers are in the recipes."""

    def test_phraseclick(self, root: Path) -> None:
        refcoco(root)
        recipe = list_stages(read_recipe("phraseclick", FAST[:3]))[0].recipe
        trainer = Trainer(recipe, launch(recipe), crops := CropDataset(recipe))
        trainer.learn(collate([crops[0], crops[1]]), 0.0)
        assert isinstance(trainer.optimiser, torch.optim.SGD)
        encoder = {id(p) for p in trainer.model.encoder.parameters()}
        for group in trainer.optimiser.param_groups:
            assert group["lr"] == pytest.approx(1e-8 if id(group["params"][0]) in encoder else 1e-7)
            assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.99, 1e-4, False)
        assert (recipe.batch, recipe.loss_reduction, trainer.model.attribute_reduction) == (10, "sum", "sum")

    def test_multistage(self) -> None:
        stages = [stage.recipe for stage in list_stages(read_recipe("multistage"))]
        assert [stage.steps for stage in stages] == [math.ceil(epochs * 10582 / 5) for epochs in (32.5, 7.5, 5)]
        assert self.rates(stages[0], [0, 40000, stages[0].steps]) == [1e-8] * 3
        group = self.optimiser(stages[0]).param_groups[0]
        assert (group["momentum"], group["weight_decay"], group["nesterov"]) == (0.9, 5e-4, True)

    def test_dctnet(self) -> None:
        recipe = read_recipe("dctnet")
        assert type(self.optimiser(recipe)) is torch.optim.Adam
        assert recipe.steps == 21245  # 20 epochs of 8,498 in batches of 8
        assert self.rates(recipe, [0, 10622, 10623, 21244]) == pytest.approx([1e-4, 1e-4, 1e-5, 1e-5])

    def test_sequential(self) -> None:
        recipe = read_recipe("sequential")
        assert type(self.optimiser(recipe)) is torch.optim.SGD
        assert recipe.steps == 96870  # 30 epochs of 25,832 in batches of 8
        expected = [7e-3, 7e-3, 7e-3 * 0.95, 7e-3 * 0.95**29]
        assert self.rates(recipe, [0, 3228, 3229, 96869]) == pytest.approx(expected)

    def rates(self, recipe: Recipe, steps: list[int]) -> list[float]:
        assert recipe.epoch_samples is not None
        rate = LearningRate(recipe.optimiser, recipe.steps, recipe.epoch_samples / recipe.batch)
        return [rate.at(step, step / recipe.steps) for step in steps]

    def optimiser(self, recipe: Recipe) -> torch.optim.Optimizer:
        return build_optimiser(recipe.optimiser, [{"params": [torch.nn.Parameter(torch.zeros(1))]}])

    def test_textclick(self) -> None:
        recipe = read_recipe("textclick")
        assert (recipe.batch, recipe.steps, recipe.model.pretrained) == (32, 90000, None)
        assert len(recipe.phrases.held_out) == 60

    @pytest.mark.parametrize("name", PUBLISHED)
    def test_no_change_of_images_that_no_paper_names(self, name: str) -> None:
        augment = read_recipe(name).augment
        kinds = ("rotation_prob", "aspect_jitter", "grey_prob", "blur_prob", "noise_prob", "jpeg_prob")
        assert {getattr(augment, kind) for kind in kinds} == {0.0}
        for stage in list_stages(read_recipe(name)):
            assert stage.recipe.optimiser.grad_clip_norm is None
            assert stage.recipe.optimiser.ema_decay is None


class TestData:
    @pytest.mark.parametrize("name", ["sequential", "multistage"])
    def test_no_image_of_the_test_set_is_trained_on(self, root: Path, name: str) -> None:
        voc(root, train=["a", "b"], val=["v", "w"])
        sbd(root, train=["b", "c", "v"], val=["d", "w"])
        targets = list_targets(read_recipe(name))
        counts: dict[str, int] = {}
        for target in targets:
            counts[target.sample.image_path.stem] = counts.get(target.sample.image_path.stem, 0) + 1
        # b is in both: its objects are VOC's.
        assert counts == {"a": 1, "b": 1, "c": 2, "d": 2}

    def test_a_missing_list_of_the_test_set_is_named(self, root: Path) -> None:
        voc(root, train=["a"])
        sbd(root, train=["c"], val=["d"])
        with pytest.raises(SaywhereError, match=r"ImageSets/Segmentation/val\.txt cannot be read"):
            list_targets(read_recipe("sequential"))

    def test_all_sentences_of_a_reference_are_phrases(self, root: Path) -> None:
        refcoco(root)
        changes = ("phrases.phrase_prob=1", "crop.size=64")
        crops = CropDataset(list_stages(read_recipe("phraseclick", changes))[0].recipe)
        seen = {crops[number].prompt.phrase for number in range(60)}
        assert set(SENTENCES) <= seen
        assert seen - set(SENTENCES) <= {"left cat", "right cat"}  # these, where an image is mirrored

    def test_left_is_right_in_a_mirrored_image(self, root: Path) -> None:
        refcoco(root)
        for flip, expected in ((0, "left cat"), (1, "right cat")):
            changes = ("phrases.phrase_prob=1", "crop.size=128", f"augment.flip_prob={flip}")
            crops = CropDataset(list_stages(read_recipe("phraseclick", changes))[0].recipe)
            phrases = {crops[number].prompt.phrase for number in range(30)}
            assert phrases & {"left cat", "right cat"} == {expected}

    def test_a_label_where_expressions_are_not_wanted(self, root: Path) -> None:
        refcoco(root)
        recipe = fast("textclick-refcoco")
        crops = CropDataset(recipe)
        assert {crops[number].prompt.phrase for number in range(10)} == {"cat"}

    def test_only_seen_labels_are_drawn(self, root: Path) -> None:
        everything(root)
        assert list_targets(read_recipe("textclick", ["phrases.held_out=[]", "phrases.seen=[cat]"]))
        assert not list_targets(read_recipe("textclick", ["phrases.held_out=[]", "phrases.seen=[dog]"]))

    def test_missing_images_are_one_line(self, root: Path) -> None:
        refcoco(root)
        (root / "refer/images/mscoco/images/train2014/COCO_train2014_000000000009.jpg").unlink()
        with pytest.raises(SaywhereError, match=r"'refcoco:train': 1 of 1 images are not there; expected '.*009\.jpg'"):
            list_targets(fast("textclick-refcoco"))

    def test_another_layout_is_one_line(self, root: Path, tmp_path: Path) -> None:
        (root / "coco/labels").mkdir(parents=True)
        (root / "coco/instances_train2017.json").write_text("{}")
        with pytest.raises(SaywhereError) as caught:
            train(fast("textclick"), tmp_path / "run")
        message = str(caught.value)
        assert "coco/annotations/instances_train2017.json" in message
        assert "with instances_train2017.json, labels" in message
        assert "\n" not in message
        assert not (tmp_path / "run").exists()
