"""Sequential Interactive Image Segmentation: equation 1 by hand, and the paper's numbers of parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from saywhere import Click, Prompt, SaywhereError
from saywhere.models.backbone import create_backbone
from saywhere.models.sequential import RATES, Sequential, conv, equation_1
from saywhere.training.recipe_files import read_recipe


def test_equation_1_by_hand() -> None:
    level = torch.tensor([[[[10.0]]]])
    previous = torch.tensor([[[[1.0, 2.0], [3.0, 6.0]]]])  # its mean is 3
    weights = nn.Conv2d(2, 1, 1, bias=False)
    with torch.no_grad():
        weights.weight.copy_(torch.tensor([2.0, 5.0])[None, :, None, None])
        assert equation_1(weights, level, previous).item() == 2.0 * 10.0 + 5.0 * 3.0


def million_parameters(*parts: nn.Module) -> float:
    return sum(parameter.numel() for part in parts for parameter in part.parameters()) / 1e6


def deeplab_with_two_click_maps() -> list[nn.Module]:
    """The parts of DeepLabv3+ (Chen et al. 2018) with the 5-channel input of earlier click-based networks."""
    backbone, (low, high) = create_backbone("resnet101", (4, 16), (1, 4), in_channels=5, output_stride=16)
    decoder = [*conv(low, 48, 1), *conv(256 + 48, 256, 3), *conv(256, 256, 3), nn.Conv2d(256, 1, 1)]
    return [backbone, ASPP(high, RATES, 256), *decoder]


def test_it_has_the_parameters_of_the_papers_tables_2_and_7() -> None:
    model = Sequential()
    assert million_parameters(*deeplab_with_two_click_maps()) == pytest.approx(59.345, abs=5e-4)
    assert million_parameters(model) == pytest.approx(45.743, abs=5e-4)
    assert million_parameters(model.purification) == pytest.approx(0.697, abs=5e-4)


def test_the_purified_levels_have_an_eighth_of_the_channels_and_do_not_depend_on_clicks() -> None:
    model = Sequential("resnet18", None).eval()
    with torch.inference_mode():
        features = model.encode(torch.rand(1, 3, 70, 90))
        assert [tuple(level.shape[1:]) for level in features.levels["pure"]] == [
            (8, 20, 24), (16, 10, 12), (32, 5, 6), (64, 5, 6)]  # fmt: skip
        before = [level.clone() for level in features.levels["pure"]]
        logits = [model.decode(features, [Prompt((Click(x, 30),))], None) for x in (20, 70)]
    assert not torch.equal(logits[0], logits[1])
    assert all(torch.equal(a, b) for a, b in zip(before, features.levels["pure"], strict=True))


def test_an_unknown_backbone_is_an_error() -> None:
    with pytest.raises(SaywhereError, match="resnt18"):
        Sequential("resnt18")


@pytest.mark.parametrize("name", ["sequential", "sequential-small"])
def test_its_recipes_can_be_read(name: str) -> None:
    recipe = read_recipe(name)
    assert recipe.model.name == "sequential"
    assert recipe.loss["bce"] == 1.0
