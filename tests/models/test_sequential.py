"""The sequential paper's network: its equation by hand, and the parameters that the paper counts."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch
from torch import nn

from saywhere import Click, Prompt, SaywhereError
from saywhere.models.sequential import Sequential, equation_1
from saywhere.training.recipe import read_recipe

ROOT = Path(__file__).parents[2]


def test_equation_1_by_hand() -> None:
    level = torch.tensor([[[[10.0]]]])
    before = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])  # whose mean is 3
    weights = nn.Conv2d(2, 1, 1, bias=False)
    with torch.no_grad():
        weights.weight.copy_(torch.tensor([2.0, 5.0])[None, :, None, None])
        assert equation_1(weights, level, before).item() == 2.0 * 10.0 + 5.0 * 3.0


def test_it_has_the_parameters_that_the_paper_counts(capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(ROOT / "examples" / "sequential_parameters.py"), run_name="__main__")
    rows = [line.split()[-2:] for line in capsys.readouterr().out.splitlines()[1:]]
    assert len(rows) == 3
    assert all(here == paper for here, paper in rows), rows


def test_its_levels_are_an_eighth_and_the_clicks_do_not_touch_them() -> None:
    model = Sequential("resnet18", None).eval()
    with torch.inference_mode():
        features = model.encode(torch.rand(1, 3, 70, 90))
        assert [tuple(level.shape[1:]) for level in features.levels["pure"]] == [
            (8, 20, 24), (16, 10, 12), (32, 5, 6), (64, 5, 6)]  # fmt: skip
        before = [level.clone() for level in features.levels["pure"]]
        answers = [model.decode(features, [Prompt((Click(x, 30),))], None) for x in (20, 70)]
    assert not torch.equal(answers[0], answers[1])
    assert all(torch.equal(a, b) for a, b in zip(before, features.levels["pure"], strict=True))


def test_an_unknown_backbone_is_named() -> None:
    with pytest.raises(SaywhereError, match="resnt18"):
        Sequential("resnt18")


@pytest.mark.parametrize("name", ["sequential", "sequential-small"])
def test_its_recipes_can_be_read(name: str) -> None:
    recipe = read_recipe(ROOT / "recipes" / f"{name}.yaml")
    assert recipe.model.name == "sequential"
    assert recipe.loss["bce"] == 1.0
