"""The network with the tokens of a vision transformer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from vision_transformers import add_to_timm, tiny_transformer

from saywhere import Click, Prompt, SaywhereError
from saywhere.core.crop import Crop
from saywhere.models.checkpoint import load_model, save_model
from saywhere.models.layers.tokens import TokenEncoder
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.torch import TorchRuntime
from saywhere.training.recipe import Recipe
from saywhere.training.step import token_loss

OPTIONS: dict[str, Any] = {
    "widths": (16, 16, 24, 32), "key": 8, "relevance": ("learned",), "feature_dct": True, "candidates": 3, "box": True,
}  # fmt: skip
PROMPTS = [Prompt((Click(70, 40), Click(5, 90, False)), "dog", (40, 20, 90, 70))]


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a small transformer with patches of 14 pixels."""
    return add_to_timm(monkeypatch)


def networks(tokens: str) -> tuple[Saywhere, Saywhere]:
    """Two with the same weights, without and with tokens."""
    torch.manual_seed(3)
    small, large = Saywhere(**OPTIONS).eval(), Saywhere(**OPTIONS, tokens=tokens).eval()
    missing, extra = large.load_state_dict(small.state_dict(), strict=False)
    assert not extra
    assert all(name.startswith(("token_encoder.", "token_decoder.")) for name in missing)
    return small, large


def image() -> Tensor:
    return torch.rand(1, 3, 100, 150, generator=torch.Generator().manual_seed(1))


def test_a_token_is_a_patch(tiny: str) -> None:
    encoder = TokenEncoder(tiny).eval()
    pixels = torch.zeros(1, 3, 84, 112)
    pixels[..., 42:56, 70:84] = 1.0
    with torch.no_grad():
        change = (encoder(pixels) - encoder(torch.zeros_like(pixels))).abs().sum(1)[0]
    assert change.shape == (6, 8)
    assert divmod(int(change.argmax()), 8) == (3, 5)


def test_tokens_are_those_of_timm_at_its_own_size(tiny: str) -> None:
    encoder = TokenEncoder(tiny).eval()
    vit = tiny_transformer(num_classes=0).eval()
    encoder.load_state_dict(encoder.load_timm(vit.state_dict()))
    pixels = torch.rand(1, 3, 56, 56)
    with torch.no_grad():
        expected = vit.forward_features(encoder.normalisation(pixels))[:, 1:].transpose(1, 2).unflatten(2, (4, 4))
        assert torch.allclose(encoder(pixels), expected, atol=1e-4)


def test_tokens_of_the_image_are_sampled_for_a_crop(tiny: str) -> None:
    """What differs between two images outside a crop reaches its masks through the tokens alone."""
    _, large = networks(tiny)
    torch.nn.init.normal_(large.get_parameter("token_decoder.mix.weight"))
    runtime = TorchRuntime(large, "large", device="cpu")
    assert runtime.capabilities.image_tokens
    one = np.random.default_rng(0).integers(0, 255, (96, 192, 3), np.uint8)
    two = one.copy()
    two[:, 128:] = 0
    crop, prompt = Crop(0, 0, 96, 96, 96, 96), Prompt((Click(40, 40),))
    masks = [runtime.decode(runtime.encode_crop(x, crop, runtime.tokens(y)), prompt, None) for x, y in
             ((one, one), (two, one), (two, two))]  # fmt: skip
    assert np.array_equal(masks[0], masks[1])
    assert not np.array_equal(masks[1], masks[2])


def test_at_first_masks_are_those_of_the_network_without(tiny: str) -> None:
    small, large = networks(tiny)
    with torch.no_grad():
        expected, given = (net.decode_candidates(net.encode(image()), PROMPTS, None) for net in (small, large))
    assert torch.allclose(given.logits, expected.logits, atol=1e-5)


@pytest.mark.parametrize("output", ["to_middle.bias", "to_deep.bias", "mix.weight"])
def test_every_output_reaches_the_masks(tiny: str, output: str) -> None:
    _, large = networks(tiny)
    features = large.encode(image())
    with torch.no_grad():
        before = large.decode_candidates(features, PROMPTS, None).logits
        large.get_parameter(f"token_decoder.{output}").add_(5.0)
        after = large.decode_candidates(features, PROMPTS, None).logits
    assert (after - before).abs().max() > 1e-6


def test_the_transformer_does_not_learn_and_its_decoder_does(tiny: str) -> None:
    _, large = networks(tiny)
    large.train()
    torch.nn.init.normal_(large.get_parameter("token_decoder.mix.weight"))
    large.decode_candidates(large.encode(image().repeat(2, 1, 1, 1)), 2 * PROMPTS, None).logits.mean().backward()
    gradients = {name: parameter.grad for name, parameter in large.named_parameters()}
    assert all(gradients[name] is None for name in gradients if name.startswith("token_encoder."))
    learned = gradients["token_decoder.enter.weight"]
    assert learned is not None
    assert learned.abs().sum() > 0


@pytest.mark.parametrize("wrong", [{"token_width": 96}, {"token_width": 0}, {"token_blocks": 0}])
def test_a_token_decoder_of_another_size_is_refused(tiny: str, wrong: dict[str, int]) -> None:
    with pytest.raises(SaywhereError, match=r"token decoder of \d blocks and \d+ channels: give at least one block"):
        Saywhere(**OPTIONS, tokens=tiny, **wrong)


def test_masks_of_tokens_alone_are_those_beside_the_convolutions(tiny: str) -> None:
    """Without a phrase the token decoder gives the same, whether the convolutions are run or not."""
    _, large = networks(tiny)
    large.train()
    with torch.no_grad():
        features = large.encode(image().repeat(2, 1, 1, 1))
        prompts = 2 * [Prompt(PROMPTS[0].clicks, None, PROMPTS[0].box)]
        expected = large.decode_candidates(features, prompts, None).of_tokens
        alone = large.decode_tokens(features.levels["raw"][-1], prompts, None)
    assert expected is not None
    assert torch.allclose(alone, expected, atol=1e-5)


def test_weights_with_tokens_are_saved_and_loaded(tiny: str, tmp_path: Path) -> None:
    _, large = networks(tiny)
    save_model(tmp_path / "large.safetensors", large, "saywhere", {**OPTIONS, "tokens": tiny}, {})
    loaded = load_model(tmp_path / "large.safetensors").model
    assert isinstance(loaded, Saywhere)
    assert loaded.token_encoder is not None


def test_phrases_are_compared_with_tokens(tiny: str) -> None:
    torch.manual_seed(3)
    network = Saywhere(**OPTIONS, tokens=tiny, relevance_of_tokens=True).eval()
    with torch.no_grad():
        features = network.encode(image())
        before = network.relevance(features, "dog")
        *others, tokens = features.levels["raw"]
        changed = network.purify(type(features)(features.size, {"raw": (*others, tokens + 1.0)}))
        assert not torch.allclose(network.relevance(changed, "dog"), before)


def test_phrases_cannot_be_compared_with_tokens_that_are_not_there() -> None:
    with pytest.raises(SaywhereError, match="relevance_of_tokens: this network has no tokens"):
        Saywhere(**OPTIONS, relevance_of_tokens=True)


@pytest.mark.parametrize("name", ["no-such-transformer", "vit_tiny_patch16_224"])
def test_other_transformers_are_refused(name: str) -> None:
    with pytest.raises(SaywhereError, match=f"tokens '{name}'"):
        TokenEncoder(name)


def test_tokens_give_masks_of_their_own_while_the_network_is_trained(tiny: str) -> None:
    _, large = networks(tiny)
    features = large.encode(image().repeat(2, 1, 1, 1))
    assert large.decode_candidates(features, 2 * PROMPTS, None).of_tokens is None
    large.train()
    alone = large.decode_candidates(features, 2 * PROMPTS, None).of_tokens
    assert alone is not None
    assert alone.shape == (2, 3, 32, 40)  # a quarter of the padded image's sides


def test_the_loss_of_tokens_is_small_where_one_of_their_masks_is_right() -> None:
    recipe = Recipe.model_validate({"model": {"name": "saywhere"}, "data": [{"path": "x.json"}], "steps": 1})
    target = torch.zeros(1, 1, 32, 32)
    target[..., 8:24, 4:20] = 1.0
    right = 20.0 * (torch.nn.functional.avg_pool2d(target, 4) - 0.5)
    wrong = torch.cat([right, -right], 1)
    counted = torch.ones_like(target)
    one, none = (
        float(token_loss(logits, target, counted, [Prompt((Click(10, 10),))], recipe)) for logits in (wrong, -right)
    )
    assert one < 1.0 < none
