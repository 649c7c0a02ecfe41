"""ONNX graphs of a network with tokens, compared with torch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from vision_transformers import add_to_timm

from saywhere import Click, Prompt
from saywhere.core.crop import Crop
from saywhere.models.checkpoint import save_model
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.base import PurifyingRuntime
from saywhere.runtime.export import export_graphs
from saywhere.runtime.weights import load_runtime

OPTIONS: dict[str, Any] = {
    "widths": (16, 16, 24, 32), "key": 8, "relevance": ("learned",), "attention": True, "feature_dct": True,
    "candidates": 3, "box": True, "tokens": "tiny", "token_width": 64, "token_blocks": 1, "relevance_of_tokens": True,
}  # fmt: skip
PROMPT = Prompt((Click(70, 40), Click(5, 60, False)), "dog", (40, 20, 90, 70))

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runtimes(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The same network, run by ONNX Runtime and by torch."""
    with pytest.MonkeyPatch.context() as patch:
        add_to_timm(patch)
        torch.manual_seed(5)
        network = Saywhere(**OPTIONS).eval()
        for output in ("to_middle", "to_deep", "mix"):  # they are 0 at first
            torch.nn.init.normal_(network.get_parameter(f"token_decoder.{output}.weight"), std=0.1)
        weights = tmp_path_factory.mktemp("tokens") / "large.safetensors"
        save_model(weights, network, "saywhere", OPTIONS, {})
        export_graphs(weights, weights.with_name("large.onnx.zip"))
        yield load_runtime(weights, backend="onnxruntime"), load_runtime(weights, backend="torch")


def pixels(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(height).integers(0, 255, (height, width, 3), np.uint8)


@pytest.mark.parametrize("size", [(96, 128), (75, 190)])
def test_masks_and_scores(runtimes: tuple[PurifyingRuntime, PurifyingRuntime], size: tuple[int, int]) -> None:
    image = pixels(*size)
    (logits, ious), (expected, expected_ious) = (r.decode_candidates(r.encode(image), PROMPT, None) for r in runtimes)
    assert logits.shape == (3, *size)
    np.testing.assert_allclose(logits, expected, atol=2e-3)
    np.testing.assert_allclose(ious, expected_ious, atol=1e-3)


def test_tokens_are_the_last_raw_level_and_survive_purification(
    runtimes: tuple[PurifyingRuntime, PurifyingRuntime],
) -> None:
    image = pixels(96, 128)
    for runtime in runtimes:
        features = runtime.encode(image)
        assert [len(runtime.levels(features, kind)) for kind in ("raw", "pure")] == [5, 4]
        assert runtime.levels(features, "raw")[-1].shape == (32, 6, 8)
        other = runtime.with_purification(runtime.purification_parameters())
        np.testing.assert_allclose(
            other.decode(other.purify(features), PROMPT, None), runtime.decode(features, PROMPT, None), atol=2e-3
        )


def test_a_crop_of_an_image(runtimes: tuple[PurifyingRuntime, PurifyingRuntime]) -> None:
    image, crop = pixels(120, 210), Crop(30, 20, 130, 110, 128, 115)
    tokens, expected = (runtime.tokens(image) for runtime in runtimes)
    assert tokens.shape == (32, 16, 28)
    np.testing.assert_allclose(tokens, expected, atol=1e-3)
    logits, others = (r.decode(r.encode_crop(image, crop, tokens), PROMPT, None) for r in runtimes)
    assert logits.shape == (115, 128)
    np.testing.assert_allclose(logits, others, atol=2e-3)


def test_learning_has_the_same_gradient(runtimes: tuple[PurifyingRuntime, PurifyingRuntime]) -> None:
    onnx, plain = runtimes
    raw = plain.levels(plain.encode(pixels(320, 320)), "raw")
    target = np.zeros((320, 320), np.bool_)
    target[100:200, 120:250] = True
    prompt = Prompt((Click(180, 150), Click(20, 20, False)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("saywhere.runtime.torch.bfloat16_pays", lambda _: False)
        expected_loss, expected = plain.purification_gradient(raw, prompt, target, np.ones_like(target))
    loss, gradient = onnx.purification_gradient(raw, prompt, target, np.ones_like(target))
    assert loss == pytest.approx(expected_loss, rel=1e-4)
    for name, value in expected.items():
        np.testing.assert_allclose(gradient[name], value, atol=1e-3 * np.abs(value).max())
