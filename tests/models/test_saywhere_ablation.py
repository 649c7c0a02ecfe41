"""Our network without one idea: the idea has no effect any more, and everything else stays."""

from __future__ import annotations

import pytest
import torch

from saywhere.core.prompt import Click, Prompt
from saywhere.errors import SaywhereError
from saywhere.models import InteractiveModel, build

OPTIONS = {"backbone": "mobilenetv3_small_050", "widths": (8, 8, 8, 8), "key": 4}


def network(*without: str) -> InteractiveModel:
    torch.manual_seed(0)
    return build("saywhere-ablation", {**OPTIONS, "without": without}).eval()


def logits(model: InteractiveModel, *clicks: Click) -> torch.Tensor:
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        return model.decode(model.encode(image), [Prompt(clicks=clicks)], None)


def test_without_ideas_left_out_it_is_our_network() -> None:
    torch.manual_seed(0)
    ours = build("saywhere", OPTIONS).eval()
    assert torch.equal(logits(ours, Click(40, 30, True, 9.0)), logits(network(), Click(40, 30, True, 9.0)))


@pytest.mark.parametrize(("without", "equal"), [((), False), (("drag_width",), True)])
def test_the_radius_of_a_drag(without: tuple[str, ...], equal: bool) -> None:
    model = network(*without)
    near, far = (logits(model, Click(40, 30, True, radius)) for radius in (5.0, 25.0))
    assert torch.equal(near, far) == equal
    assert not torch.equal(near, logits(model, Click(40, 30))), "a drag stays something else than a click"


@pytest.mark.parametrize(("without", "passed"), [((), True), (("fusion",), False)])
def test_guidance_reaches_the_coarse_levels_through_the_mini_encoder(without: tuple[str, ...], passed: bool) -> None:
    model = network(*without).train()
    image = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    prompts = [Prompt(clicks=(Click(40, 30),)), Prompt(clicks=(Click(10, 30),))]
    model.decode(model.encode(image), prompts, None).square().mean().backward()
    gradients = [p.grad for name, p in model.named_parameters() if name.startswith("down.2.0.")]
    assert any(gradient is not None and bool(gradient.any()) for gradient in gradients) == passed


def test_an_unknown_idea() -> None:
    with pytest.raises(SaywhereError, match=r"without \['colour'\]: choose from drag_width, fusion"):
        build("saywhere-ablation", {"without": ["colour"]})
