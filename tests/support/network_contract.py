"""What every registered network must do. The module is not collected; tests/models/test_models.py subclasses it."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from saywhere import Click, Prompt, SaywhereError
from saywhere.models import MODELS, InteractiveModel, build
from saywhere.models.checkpoint import load_model, read_tensors, save_model
from saywhere.models.targets import PhraseSupervision
from saywhere.runtime.fuse import fuse_batch_norms
from saywhere.runtime.torch import TorchRuntime
from saywhere.text.words import shipped_words
from saywhere.training.recipe_files import read_recipe, recipe_names

CLICK = Prompt((Click(10, 12),))
MIXED = Prompt((Click(10, 12, True, 8.0), Click(30, 30, False), Click(20, 9)))
# Networks that are large by default, as small as they can be built.
SMALL_OPTIONS: dict[str, dict[str, Any]] = {
    "dctnet": {"backbone": "mobilenetv2_050", "channels": 16, "hidden": 8},
    "multistage": {"backbone": "mobilenetv2_050", "channels": 16, "late_channels": 16},
    "phraseclick": {"backbone": "mobilenetv2_050", "channels": 16, "hidden": 8, "attributes": ["dog", "red"]},
    "sequential": {"backbone": "mobilenetv2_050", "widths": [8, 8, 16, 32]},
    "textclick": {"backbone": "mobilenetv2_050", "channels": 16, "relevance": "none"},
}


def hardest_prompt(model: InteractiveModel) -> Prompt:
    """The prompt with the most that a network can be given."""
    return Prompt((Click(30, 30),)) if model.max_clicks == 1 else MIXED


class NetworkContract:
    """Subclass it in a test module; every network in :data:`MODELS` runs through these tests.

    A new network needs nothing but its registration. Give it an entry in :data:`SMALL_OPTIONS` when it is large by
    default. The variant saywhere-ablation is our network, and has tests of its own.
    """

    @pytest.fixture(scope="class", params=sorted(set(MODELS) - {"saywhere-ablation"}))
    @classmethod
    def named(cls, request: pytest.FixtureRequest) -> tuple[str, InteractiveModel]:
        """A network's name and the network, as small as it can be built."""
        torch.manual_seed(0)
        return request.param, build(request.param, SMALL_OPTIONS.get(request.param, {}))

    @pytest.mark.parametrize("size", [(64, 64), (33, 95), (1, 1), (50, 200)])
    @pytest.mark.parametrize("batch", [1, 3])
    def test_any_size_and_any_batch(
        self, named: tuple[str, InteractiveModel], size: tuple[int, int], batch: int
    ) -> None:
        model = named[1].eval()
        with torch.inference_mode():
            features = model.encode(torch.rand(batch, 3, *size))
            prompts = [hardest_prompt(model) if i % 2 else CLICK for i in range(batch)]
            first = model.decode(features, prompts, None)
            second = model.decode(features, prompts, first.sigmoid())
        for logits in (first, second):
            assert logits.shape == (batch, 1, *size)
            assert logits.dtype == torch.float32
            assert torch.isfinite(logits).all()

    def test_one_batch_is_as_good_as_many(self, named: tuple[str, InteractiveModel]) -> None:
        model = named[1].eval()
        images = torch.rand(2, 3, 64, 96)
        prompts = [CLICK, hardest_prompt(model)]
        with torch.inference_mode():
            together = model(images, prompts)
            apart = torch.cat([model(images[i : i + 1], prompts[i : i + 1]) for i in range(2)])
        assert torch.allclose(together, apart, atol=1e-3)

    def test_gradient_reaches_every_trainable_parameter(self, named: tuple[str, InteractiveModel]) -> None:
        model = named[1].train()
        model.zero_grad()
        features = model.encode(torch.rand(2, 3, 64, 64))
        phrases = ("red dog", "red cat") if model.phrases else (None, None)
        click, mixed = CLICK.with_phrase(phrases[0]), hardest_prompt(model).with_phrase(phrases[1])
        logits = model.decode(features, [click, mixed], None)
        logits = logits + model.decode(features, [mixed, click], logits.detach().sigmoid())
        supervision = [PhraseSupervision((), None)] * 2
        asked = model.auxiliary_loss(features, [mixed, click], supervision, shipped_words())
        ((logits * torch.rand_like(logits)).sum() + asked).backward()
        unreached = [
            name
            for name, p in model.named_parameters()
            if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)
        ]
        assert unreached == []
        model.zero_grad()

    def test_the_prompt_matters(self, named: tuple[str, InteractiveModel]) -> None:
        model = named[1].eval()
        with torch.inference_mode():
            features = model.encode(torch.rand(1, 3, 64, 64))
            answers = [
                model.decode(features, [p], None) for p in (CLICK, hardest_prompt(model), Prompt((Click(40, 50),)))
            ]
        assert not torch.allclose(answers[0], answers[1])
        assert not torch.allclose(answers[0], answers[2])

    def test_saved_and_loaded_it_answers_the_same(self, named: tuple[str, InteractiveModel], tmp_path: Path) -> None:
        name, model = named
        path = tmp_path / "weights.safetensors"
        save_model(path, model, name, SMALL_OPTIONS.get(name, {}), {"step": 3})
        loaded = load_model(path)
        again = tmp_path / "again.safetensors"
        save_model(again, loaded.model, name, SMALL_OPTIONS.get(name, {}), {"step": 3})
        image = torch.rand(1, 3, 64, 64)
        with torch.inference_mode():
            first = loaded.model(image, [hardest_prompt(model)])
            second = load_model(again).model(image, [hardest_prompt(model)])
            whole = model.eval()(image, [hardest_prompt(model)])
        assert torch.equal(first, second)
        assert torch.allclose(first, whole, atol=0.1)  # matrices are stored in float16
        kept, copied = read_tensors(path)[0], read_tensors(again)[0]
        assert all(torch.equal(kept[k], copied[k]) for k in kept.keys() | copied.keys())
        assert loaded.metadata["step"] == 3

    def test_folded_it_answers_the_same(self, named: tuple[str, InteractiveModel]) -> None:
        model = copy.deepcopy(named[1]).eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
                module.running_mean.normal_(0.0, 0.1)
        image, previous = torch.rand(1, 3, 64, 96), torch.rand(1, 1, 64, 96)
        with torch.inference_mode():
            before = model(image, [hardest_prompt(model)], previous)
            after = fuse_batch_norms(model)(image, [hardest_prompt(model)], previous)
        assert torch.allclose(before, after, atol=1e-3 * float(before.abs().max() + 1))
        assert sum(isinstance(m, nn.BatchNorm2d) for m in model.modules()) == 0

    def test_it_runs_behind_numpy(self, named: tuple[str, InteractiveModel]) -> None:
        runtime = TorchRuntime(named[1], named[0], device="cpu")
        features = runtime.encode(np.zeros((40, 70, 3), np.uint8))
        logits = runtime.decode(features, CLICK, None)
        assert logits.shape == (40, 70)
        assert runtime.decode(features, CLICK, np.ones((40, 70), np.float32)).dtype == np.float32

    def test_its_options_are_those_of_its_weights(self, named: tuple[str, InteractiveModel]) -> None:
        with pytest.raises(SaywhereError, match=rf"model '{named[0]}' with options .*colour"):
            build(named[0], {"colour": 1})

    def test_it_has_a_recipe_and_a_small_one(self, named: tuple[str, InteractiveModel]) -> None:
        name, own = named[0], {recipe for recipe in recipe_names() if read_recipe(recipe).model.name == named[0]}
        assert name in own
        assert name == "saywhere" or f"{name}-small" in own
