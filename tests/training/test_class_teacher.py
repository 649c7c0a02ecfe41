"""An ImageNet classifier as teacher of the relevance map."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recipes import SMALL, recipe_for

from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.models.checkpoint import load_model, save_model, write_tensors
from saywhere.models.layers.class_losses import class_contrast_loss, class_vectors, named_loss
from saywhere.models.layers.phrase import PhraseEncoder
from saywhere.models.layers.relevance import LearnedRelevance
from saywhere.models.saywhere import Saywhere
from saywhere.models.targets import ClassTargets
from saywhere.text.class_names import imagenet_classes
from saywhere.text.words import shipped_words
from saywhere.training.class_maps import CLASSES, ClassMap, ClassMaps, TopClasses
from saywhere.training.class_targets import PhraseDrawer, cells_of_crop
from saywhere.training.crops import Crop
from saywhere.training.dataset import CropDataset
from saywhere.training.loop import train

RETRIEVER, TABBY, BANANA = 207, 281, 954


def top(shape: tuple[int, ...], index: int, probability: float) -> TopClasses:
    """One class everywhere; the rest of the K have no probability."""
    indices, probabilities = np.zeros((*shape, CLASSES), np.int16), np.zeros((*shape, CLASSES), np.float16)
    indices[...], probabilities[..., 0] = np.arange(CLASSES), probability
    indices[..., 0] = index
    return TopClasses(indices, probabilities)


class Named:
    """A target of which only the name in the data set matters."""

    def __init__(self, name: str) -> None:
        self.sample = self
        self.name = name


def crop_with(*masks: np.ndarray) -> Crop:
    """A crop of 64 pixels that is the image itself, with objects named 0, 1, ..."""
    names: list[Any] = [Named(str(i)) for i in range(len(masks))]
    identity = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    ignore = np.zeros((64, 64), bool)
    ignore[56:] = True
    image = np.zeros((64, 64, 3), np.uint8)
    return Crop(image, masks[0], ignore, names[0], names[1:], masks[1:], identity)


def box_mask(x0: int, y0: int, x1: int, y1: int) -> np.ndarray:
    mask = np.zeros((64, 64), bool)
    mask[y0:y1, x0:x1] = True
    return mask


class TestTargets:
    drawer = PhraseDrawer(imagenet_classes(), 8)
    size = ImageSize(64, 64)

    def targets(self, classes: ClassMap, *masks: np.ndarray) -> list[ClassTargets]:
        crop = crop_with(*masks)
        return [self.drawer.targets(crop, self.size, classes, np.random.default_rng(seed)) for seed in range(20)]

    def test_an_object_is_named_by_its_class_and_hypernyms_on_its_mask(self) -> None:
        classes = ClassMap(top((2, 2), BANANA, 0.0), {"0": top((), RETRIEVER, 0.9)})
        usual = {*imagenet_classes().names[RETRIEVER], *imagenet_classes().hypernyms[RETRIEVER]}
        named: set[str] = set()
        for each in self.targets(classes, box_mask(0, 0, 32, 64)):
            for phrase, target in zip(each.phrases, each.targets, strict=True):
                if (target == 1.0).any():
                    named.add(phrase)
                    assert (target[:7, :4] == 1.0).all()
                    assert (target[:7, 4:] == 0.0).all()
                else:
                    assert phrase not in usual
                    assert (target[:7] == 0.0).all()
                assert np.isnan(target[7]).all()  # outside the image
        assert "dog" in named
        assert named <= usual

    def test_what_the_teacher_is_not_sure_of_does_not_count(self) -> None:
        classes = ClassMap(top((2, 2), TABBY, 0.9), {"0": top((), TABBY, 0.3)})
        for each in self.targets(classes, box_mask(0, 0, 32, 32)):
            rows = [t for phrase, t in zip(each.phrases, each.targets, strict=True) if phrase == "tabby"]
            for target in rows:
                assert np.isnan(target[:4, :4]).all()
                assert (target[:4, 4:] == 1.0).all()

    def test_a_part_has_its_own_class(self) -> None:
        objects = {"0": top((), BANANA, 0.9), "1": top((), TABBY, 0.9)}
        part, whole = box_mask(0, 0, 16, 16), box_mask(0, 0, 48, 48)
        for each in self.targets(ClassMap(top((2, 2), 0, 0.0), objects), part, whole):
            assert (each.indices[:2, :2, 0] == BANANA).all()
            assert (each.indices[2:6, 2:6, 0] == TABBY).all()

    def test_absent_phrases_are_of_nothing_in_the_image(self) -> None:
        classes = ClassMap(top((2, 2), TABBY, 0.3), {"0": top((), RETRIEVER, 0.03)})
        for each in self.targets(classes, box_mask(0, 0, 16, 16)):
            assert not {"tabby", "cat", "animal", "dog"} & set(each.phrases)

    def test_cells_follow_the_crop(self) -> None:
        cells = TopClasses(np.arange(4, dtype=np.int16).reshape(2, 2, 1), np.ones((2, 2, 1), np.float16))
        # Mirrored: x becomes 63 - x. The image is twice as wide as high.
        mirrored = np.array([[-0.5, 0.0, 63.5], [0.0, 1.0, 0.0]])
        found = cells_of_crop(cells, mirrored, ImageSize(64, 128), 8).indices[..., 0]
        assert (found[:4, :4] == 1).all()
        assert (found[:4, 4:] == 0).all()
        assert (found[4:, :4] == 3).all()


class TestLosses:
    def test_the_class_contrast_is_lowest_where_cells_are_like_their_class(self) -> None:
        torch.manual_seed(0)
        relevance, words = LearnedRelevance(8, 8, dimensions=88), shipped_words()
        torch.nn.init.eye_(relevance.words.weight)
        torch.nn.init.zeros_(relevance.words.bias)
        one = top((4, 4), BANANA, 0.9)
        targets = [ClassTargets(one.indices, one.probabilities, (), np.zeros((0, 4, 4), np.float16))]
        losses = []
        for index in (BANANA, TABBY):
            vector = torch.nn.functional.normalize(class_vectors(words)[index], dim=0)
            embedded = vector[None, :, None, None].expand(1, -1, 4, 4)
            losses.append(class_contrast_loss(relevance, embedded, targets, words).item())
        assert losses[0] < 1.0 < losses[1]

    def test_what_is_not_known_of_a_name_has_no_gradient(self) -> None:
        torch.manual_seed(0)
        relevance, encoder = LearnedRelevance(8, 8, dimensions=8), PhraseEncoder(hidden=4)
        embedded = torch.randn(1, 8, 2, 2).requires_grad_()
        target = np.array([[[1.0, 0.0], [np.nan, np.nan]]], np.float16)
        nothing = top((2, 2), 0, 0.0)
        targets = [ClassTargets(nothing.indices, nothing.probabilities, ("dog",), target)]
        named_loss(relevance, encoder, embedded, targets).backward()
        assert embedded.grad is not None
        assert embedded.grad[0, :, 0].any()
        assert not embedded.grad[0, :, 1].any()


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A classifier with random weights."""
    import timm

    path = tmp_path_factory.mktemp("teacher") / "classifier.safetensors"
    torch.manual_seed(0)
    write_tensors(path, timm.create_model("tf_efficientnet_lite0").state_dict(), {})
    return path


class TestClassMaps:
    def test_an_image_is_classified_once(self, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from PIL import Image

        path = tmp_path / "image.png"
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 90, 3), np.uint8)).save(path)
        mask = RunLengths.from_mask(np.arange(60 * 90).reshape(60, 90) < 2000)
        maps = ClassMaps(teacher, tmp_path / "cache")
        first = maps.read(path, {"a": mask})
        assert first.cells.indices.shape == (9, 13, CLASSES)
        assert (np.diff(first.cells.probabilities.astype(float), axis=-1) <= 0).all()
        monkeypatch.setattr(ClassMaps, "compute", lambda *_: pytest.fail("computed again"))
        again = ClassMaps(teacher, tmp_path / "cache").read(path, {"a": mask})
        assert (again.cells.indices == first.cells.indices).all()
        assert (again.objects["a"].probabilities == first.objects["a"].probabilities).all()


class TestTraining:
    def test_only_the_relevance_map_changes(self, teacher: Path, coco: Path, tmp_path: Path) -> None:
        options = {**SMALL, "relevance": ["learned"], "attention": True, "weigh_words": True}
        start = tmp_path / "start.safetensors"
        torch.manual_seed(0)
        save_model(start, Saywhere(**options), "saywhere", options, {})
        recipe = recipe_for(
            coco,
            model={
                "name": "saywhere",
                "options": {**options, "relevance_of_backbone": True},
                "weights": str(start),
                "train_only": ["learned_relevance", "phrase_encoder.weight"],
                "freeze_batch_norm": True,
            },
            phrases={"phrase_prob": 0.7},
            teacher={"weights": str(teacher), "cache": str(tmp_path / "cache"), "relevance_only": True},
        )
        trained = load_model(train(recipe, tmp_path / "run"))
        before, after = load_model(start).model.state_dict(), trained.model.state_dict()
        changed = {name for name in before if before[name].shape != after[name].shape}
        assert changed == {"learned_relevance.pixels.0.weight"}  # it has the backbone's level as a further input
        changed |= {name for name in before.keys() - changed if not torch.equal(before[name], after[name])}
        assert all(name.startswith(("learned_relevance.", "phrase_encoder.weight.")) for name in changed)
        assert "learned_relevance.words.weight" in changed
        assert "golden retriever" in trained.metadata["phrases"]

    def test_the_map_is_the_same_at_first(self, tmp_path: Path) -> None:
        from saywhere.training.initialise import initialise
        from saywhere.training.recipe import ModelRecipe

        options = {**SMALL, "relevance": ["learned"], "attention": True}
        torch.manual_seed(0)
        model = Saywhere(**options).eval()
        save_model(tmp_path / "start.safetensors", model, "saywhere", options, {})
        wider = ModelRecipe(
            name="saywhere",
            options={**options, "relevance_of_backbone": True},
            weights=str(tmp_path / "start.safetensors"),
        )
        image = torch.rand(1, 3, 64, 64)
        with torch.no_grad():
            first, second = (m.relevance(m.encode(image), "dog") for m in (model, initialise(wider).eval()))
        assert torch.allclose(first, second, atol=1e-3)  # weights are kept in half precision

    def test_a_composed_crop_has_no_targets(self, teacher: Path, coco: Path, tmp_path: Path) -> None:
        recipe = recipe_for(
            coco,
            crop={"size": 64, "copy_paste_prob": 1.0},
            phrases={"phrase_prob": 0.5},
            teacher={"weights": str(teacher), "cache": str(tmp_path)},
        )
        samples = [CropDataset(recipe)[number] for number in range(12)]
        assert any(sample.supervision.classes is not None for sample in samples)
        assert any(sample.supervision.classes is None for sample in samples)
