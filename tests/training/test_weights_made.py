"""What averaging, narrowing and initialising make of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import narrow
import pytest
import torch
from torch import nn

from saywhere import Click, Prompt, SaywhereError
from saywhere.models.checkpoint import load_model, save_model
from saywhere.models.saywhere import Saywhere
from saywhere.training.average import average_weights
from saywhere.training.initialise import initialise
from saywhere.training.recipe_parts import ModelRecipe

OURS: dict[str, Any] = {"widths": (8, 8, 16, 16), "key": 8, "feature_dct": True}
PROMPT = [Prompt((Click(10, 12, True, 8.0), Click(50, 9, False)))]


def network(seed: int, **options: Any) -> Saywhere:
    torch.manual_seed(seed)
    model = Saywhere(**OURS, **options).eval()
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None:
            nn.init.normal_(layer.running_mean, std=0.1)
    assert model.film is not None
    nn.init.normal_(model.film[-1].weight, std=0.1)
    return model


def answer(model: nn.Module) -> torch.Tensor:
    torch.manual_seed(9)
    with torch.inference_mode():
        return torch.as_tensor(model.eval()(torch.rand(1, 3, 64, 64), PROMPT))


class TestNarrow:
    def test_channels_that_nothing_reads_go_and_the_answer_stays(self) -> None:
        model = network(0)
        mean_squares = {}
        for layer, reader in narrow.PAIRS.items():
            weight = model.get_submodule(reader).weight.data
            unread = torch.randperm(8)[:3]
            weight[:, unread] = 0.0
            mean_squares[layer] = torch.ones(8)
        small = narrow.narrowed(model, OURS, 5, mean_squares)
        assert sum(p.numel() for p in small.parameters()) < sum(p.numel() for p in model.parameters())
        assert torch.allclose(answer(small), answer(model), atol=1e-5)

    def test_the_channels_that_matter_most_stay(self) -> None:
        model = network(0)
        mean_squares = {layer: torch.tensor([0.0, 9, 0, 9, 0, 9, 0, 9]) for layer in narrow.PAIRS}
        small = narrow.narrowed(model, OURS, 4, mean_squares)
        assert torch.equal(small.head[1].weight, model.head[1].weight[:, 1::2])

    def test_a_network_is_narrow_only_where_half_of_its_time_goes(self) -> None:
        wide, small = network(0), network(0, fine=4)
        changed = {
            name.rpartition(".")[0]
            for name, tensor in wide.state_dict().items()
            if tensor.shape != small.state_dict()[name].shape
        }
        assert {name.split(".")[0] for name in changed} == {"fuse", "up", "head", "film"}
        assert all(name.startswith(("fuse.0.", "up.2.", "head.", "film.2")) for name in changed)


class TestAverage:
    def test_it_is_the_mean_and_says_of_what(self, tmp_path: Path) -> None:
        facts = {"recipe": {"validation": {"data": "grabcut", "limit": 3}}, "step": 3}
        models = [network(0), network(1)]
        for number, model in enumerate(models):
            save_model(tmp_path / f"{number}.safetensors", model, "saywhere", OURS, facts)
        files = [tmp_path / f"{number}.safetensors" for number in (0, 1)]
        average_weights(files, tmp_path / "mean.safetensors", lambda data, limit: lambda model: {"noc90": 2.0})
        mean = load_model(tmp_path / "mean.safetensors")
        a, b = (model.state_dict()["head.1.weight"].half().float() for model in models)
        assert torch.allclose(mean.model.state_dict()["head.1.weight"], (a + b) / 2, atol=1e-3)
        assert mean.metadata["averaged"] == [load_model(tmp_path / f"{n}.safetensors").digest for n in (0, 1)]

    def test_different_networks_have_no_mean(self, tmp_path: Path) -> None:
        save_model(tmp_path / "a.safetensors", network(0), "saywhere", OURS, {})
        save_model(tmp_path / "b.safetensors", network(0, fine=4), "saywhere", {**OURS, "fine": 4}, {})
        with pytest.raises(SaywhereError, match=r"b\.safetensors' holds another network"):
            average_weights([tmp_path / f"{n}.safetensors" for n in "ab"], tmp_path / "c.safetensors")
        assert not (tmp_path / "c.safetensors").exists()

    def test_one_file_has_no_mean(self, tmp_path: Path) -> None:
        with pytest.raises(SaywhereError, match="give two or more"):
            average_weights([tmp_path / "a.safetensors"], tmp_path / "c.safetensors")


def test_a_recipe_may_name_parameters_as_earlier_releases_did(tmp_path: Path) -> None:
    save_model(tmp_path / "clicks.safetensors", network(0), "saywhere", OURS, {})
    recipe = ModelRecipe(
        name="saywhere",
        options={**OURS, "relevance": ("learned",)},
        weights=str(tmp_path / "clicks.safetensors"),
        new=("reader.", "learned."),
        freeze=("reader.",),
    )
    trained = {name for name, parameter in initialise(recipe).named_parameters() if parameter.requires_grad}
    assert any(name.startswith("learned_relevance.") for name in trained)
    assert not any(name.startswith("phrase_encoder.") for name in trained)
