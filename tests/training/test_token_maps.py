"""Tokens of training images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from vision_transformers import add_to_timm, tiny_transformer

from saywhere.core.geometry import ImageSize
from saywhere.core.image_tokens import image_for_tokens
from saywhere.core.images import read_image
from saywhere.errors import SaywhereError
from saywhere.models.checkpoint import save_model
from saywhere.training.augment import warp
from saywhere.training.batch import collate
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import launch
from saywhere.training.initialise import initialise
from saywhere.training.phrases import label_vectors
from saywhere.training.recipe import Recipe
from saywhere.training.step import step_losses
from saywhere.training.token_maps import TokenMaps


@pytest.fixture
def recipe(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Recipe:
    """A recipe for a network with the tokens of a tiny transformer."""
    return Recipe.model_validate(content(coco, tmp_path, add_to_timm(monkeypatch)))


def content(coco: Path, folder: Path, tokens: str) -> dict[str, Any]:
    save_file(tiny_transformer(num_classes=0).state_dict(), folder / "vit.safetensors")
    return {
        "model": {
            "name": "saywhere",
            "options": {"widths": [16, 16, 24, 32], "key": 8, "tokens": tokens},
            "pretrained_tokens": str(folder / "vit.safetensors"),
        },
        "data": [{"path": str(coco)}],
        "crop": {"size": 64, "copy_paste_prob": 0.0},
        "image_tokens": {"cache": str(folder / "tokens")},
        "steps": 1,
    }


def test_tokens_are_computed_once(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    crops = CropDataset(recipe)
    sample = crops[0]
    assert sample.tokens is not None
    assert sample.tokens.shape == (32, 4, 4)
    monkeypatch.setattr(TokenMaps, "compute", lambda *_: pytest.fail("the tokens are kept"))
    assert torch.equal(CropDataset(recipe)[0].tokens, sample.tokens)  # type: ignore[arg-type]
    tokens = collate([sample, sample]).split(2)[1].tokens
    assert tokens is not None
    assert tokens.shape == (1, 32, 4, 4)


def test_tokens_of_many_images_are_computed_beforehand(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    crops = CropDataset(recipe)
    maps = crops.token_maps
    assert maps is not None
    monkeypatch.setattr("saywhere.training.token_maps.BATCH", 2)
    paths = [target.sample.image_path for target in crops.targets]
    images = {path: image_for_tokens(read_image(path)) for path in paths}
    assert len(images) > len({image.shape for image in images.values()}), "some share a batch"
    expected = {path: maps.compute(image[None])[0] for path, image in images.items()}
    assert list(maps.keep(paths))[-1] == len(expected)
    assert list(maps.keep(paths)) == []
    monkeypatch.setattr(TokenMaps, "compute", lambda *_: pytest.fail("the tokens are kept"))
    for path, tokens in expected.items():
        np.testing.assert_allclose(maps.read(path), tokens, atol=0.05)  # sums of bfloat16, in another order


def test_a_crop_has_the_tokens_of_its_pixels(recipe: Recipe) -> None:
    """Tokens that hold the colours of an image are, in a crop, the colours of the crop."""
    crops = CropDataset(recipe)
    maps, path = TokenMaps.of_recipe(recipe), crops.targets[0].sample.image_path
    assert maps is not None
    image = read_image(path)
    x, y = np.meshgrid(np.linspace(0, 255, image.shape[1]), np.linspace(0, 255, image.shape[0]))
    ramps = np.stack([x, y], -1).astype(np.float32)
    h, w = 28 * image.shape[0] // max(image.shape[:2]), 28 * image.shape[1] // max(image.shape[:2])
    centres = np.meshgrid((np.arange(w) + 0.5) * 255 / w, (np.arange(h) + 0.5) * 255 / h)
    maps.read = lambda _: np.stack(centres).astype(np.float16)  # type: ignore[method-assign,misc]
    transform = np.array([[-1.2, 0.1, 90.0], [0.05, 1.1, -10.0]])
    found = maps.in_crop(path, ImageSize(*image.shape[:2]), transform, 64)
    channels = [warp(ramps[..., i], transform, 64) for i in range(2)]  # type: ignore[arg-type]
    expected = np.stack([c.reshape(4, 16, 4, 16).mean((1, 3)) for c in channels])
    inside = (expected > 15) & (expected < 240)
    assert inside.all(0).sum() >= 4
    np.testing.assert_allclose(found[inside], expected[inside], atol=6)


def test_only_images_whose_tokens_are_there(recipe: Recipe) -> None:
    only = recipe.model_copy(update={"image_tokens": recipe.image_tokens.model_copy(update={"cached_only": True})})
    crops = CropDataset(only)
    with pytest.raises(RuntimeError, match="sample 0"):
        crops[0]
    path = crops.targets[0].sample.image_path
    assert crops.token_maps is not None
    crops.token_maps.read(path)
    numbers = {crops.targets[crops._draw(n, np.random.default_rng(n)).target].sample.image_path for n in range(30)}
    assert len(numbers) > 1
    assert crops[0].tokens is not None


def test_the_token_decoder_learns_alone(recipe: Recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = recipe.model_copy(
        update={
            "image_tokens": recipe.image_tokens.model_copy(update={"alone": True}),
            "clicks": recipe.clicks.model_copy(update={"max_rounds": 3}),
        }
    )
    crops = CropDataset(alone)
    model = initialise(alone.model).train()
    monkeypatch.setattr(type(model), "encode_crop", lambda *_: pytest.fail("the convolutions are run"))
    (loss,) = step_losses(model, collate([crops[0], crops[1]]), alone, launch(alone), label_vectors(crops.labels))
    assert loss is not None
    loss.backward()
    learned = {name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert "token_decoder.to_logits.2.weight" in learned
    assert all(name.startswith("token_decoder.") for name in learned)


def test_tokens_alone_need_tokens(coco: Path) -> None:
    given = {"model": {"name": "saywhere"}, "data": [{"path": str(coco)}], "image_tokens": {"alone": True}, "steps": 1}
    with pytest.raises(SaywhereError, match=r"image_tokens\.alone.*model\.options\.tokens"):
        CropDataset(Recipe.model_validate(given))


def test_without_weights_of_the_transformer(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = content(coco, tmp_path, add_to_timm(monkeypatch))
    del given["model"]["pretrained_tokens"]
    with pytest.raises(SaywhereError, match="pretrained_tokens"):
        CropDataset(Recipe.model_validate(given))


def test_weights_that_have_the_transformer_need_no_other_file(
    recipe: Recipe, coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the preset large is fine-tuned."""
    kept = CropDataset(recipe)[0].tokens
    save_model(tmp_path / "large.safetensors", initialise(recipe.model), "saywhere", recipe.model.options, {})
    given = content(coco, tmp_path, add_to_timm(monkeypatch))
    del given["model"]["pretrained_tokens"]
    given["model"]["weights"] = str(tmp_path / "large.safetensors")
    tokens = CropDataset(Recipe.model_validate(given))[0].tokens
    assert tokens is not None
    assert kept is not None
    assert torch.allclose(tokens.float(), kept.float(), atol=0.02)  # the weights are stored in half precision


def test_composed_crops_are_refused(coco: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = content(coco, tmp_path, add_to_timm(monkeypatch)) | {"crop": {"size": 64, "copy_paste_prob": 0.3}}
    with pytest.raises(SaywhereError, match="copy_paste_prob"):
        CropDataset(Recipe.model_validate(given))
