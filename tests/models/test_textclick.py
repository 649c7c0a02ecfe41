"""Text+Click: its maps by hand, its relevance sources, and MaskCLIP on tiny CLIPs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch.nn import functional as F

from saywhere import Click, Prompt, SaywhereError
from saywhere.models.checkpoint import save_model
from saywhere.models.layers.maskclip import MaskClip, load_maskclip
from saywhere.models.saywhere import Saywhere
from saywhere.models.textclick import TextClick, click_map, relevance_channel, rescale
from saywhere.runtime.relevance_source import connect_relevance_source
from saywhere.runtime.weights import find_weights

TINY: dict[str, Any] = {"backbone": "mobilenetv2_050", "channels": 16}
TEXT = {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 2, "layers": 1}
VISION: dict[str, dict[str, Any]] = {
    "resnet": {"layers": [1, 1, 1, 1], "width": 8, "head_width": 8, "image_size": 64},
    "vit": {"layers": 2, "width": 16, "head_width": 8, "patch_size": 16, "image_size": 64},
}


def tokens(sentences: list[str]) -> torch.Tensor:
    return torch.tensor([[1 + sum(map(ord, s)) % 62, 63, 0, 0, 0, 0, 0, 0] for s in sentences])


def maskclip(kind: str, **settings: Any) -> MaskClip:
    torch.manual_seed(0)
    clip = open_clip.CLIP(embed_dim=12, vision_cfg=VISION[kind], text_cfg=TEXT)
    return MaskClip(clip, tokens, **{"side": 64, "templates": [str, "a {}".format], **settings})


def connected(relevance: Any) -> TextClick:
    """A network that loads its relevance source."""
    return connect_relevance_source(TextClick(**TINY, relevance=relevance), find_weights).eval()


class TestMaps:
    def test_the_click_map_by_hand(self) -> None:
        drawn = click_map(Prompt((Click(0, 0),)), (4, 5))
        # The farthest pixel, (4, 3), is 5 away.
        assert drawn[0, 0] == -1.0
        assert drawn[3, 4] == pytest.approx(1.0)
        assert drawn[2, 0] == pytest.approx(2 / 5 * 2 - 1)

    def test_a_negative_click_raises_the_map_around_it(self) -> None:
        drawn = click_map(Prompt((Click(0, 0), Click(2, 0, False))), (1, 9))
        assert drawn[0, 0] == -1.0
        assert drawn[0, 2] == 1.0
        assert drawn[0, 1] == pytest.approx(0.5 * 2 - 1)
        assert drawn[0, 8] == pytest.approx(1.0)

    def test_without_a_positive_click_the_map_is_1(self) -> None:
        assert (click_map(Prompt(), (2, 3)) == 1.0).all()
        assert (click_map(Prompt((Click(0, 0, False),)), (2, 3)) == 1.0).all()
        assert np.isfinite(click_map(Prompt((Click(0, 0), Click(0, 0, False))), (1, 1))).all()

    def test_each_images_relevance_is_rescaled_on_its_own(self) -> None:
        relevance = torch.tensor([[[2.0, 3.0, 6.0]], [[5.0, 5.0, 5.0]]])
        assert rescale(relevance).tolist() == [[[-1.0, -0.5, 1.0]], [[0.0, 0.0, 0.0]]]


class TestMaskClip:
    @pytest.mark.parametrize("kind", sorted(VISION))
    def test_the_value_vectors_are_aligned_with_the_image(self, kind: str) -> None:
        model = maskclip(kind)
        image = torch.rand(1, 3, 64, 192)
        changed = image.clone()
        changed[..., 32:, 128:] = 0.0
        before, after = (model.encode(x).levels["values"][0] for x in (image, changed))
        assert before.shape[2:] == ((2, 6) if kind == "resnet" else (4, 12))
        difference = (before - after).abs().sum(1)[0]
        row, column = np.unravel_index(int(difference.argmax()), difference.shape)
        assert row >= difference.shape[0] // 2
        assert column >= difference.shape[1] // 3 * 2

    def test_a_resnets_value_path_by_hand(self) -> None:
        model = maskclip("resnet")
        visual = model.clip.visual
        with torch.no_grad():
            image = torch.rand(1, 3, 64, 96)
            x = visual.layer4(visual.layer3(visual.layer2(visual.layer1(visual.stem(image)))))
            pool, dense = visual.attnpool, model.dense(image)
            cell = x[0, :, 1, 2]
            value = pool.v_proj.weight @ cell + pool.v_proj.bias
            expected = pool.c_proj.weight @ value + pool.c_proj.bias
        assert dense.shape == (1, 12, 2, 3)
        assert torch.allclose(dense[0, :, 1, 2], expected, atol=1e-5)

    @pytest.mark.parametrize("residual", [True, False])
    def test_a_vits_value_path_by_hand(self, residual: bool) -> None:
        model = maskclip("vit", residual=residual)
        visual = model.clip.visual
        with torch.no_grad():
            image = torch.rand(1, 3, 64, 64)
            x = visual.transformer.resblocks[0](visual._embeds(image))
            last, attention = visual.transformer.resblocks[1], visual.transformer.resblocks[1].attn
            token = x[0, 1 + 4 * 2 + 3]  # row 2, column 3 of the 4 x 4 grid, after the class token
            value = attention.in_proj_weight[32:] @ last.ln_1(token) + attention.in_proj_bias[32:]
            value = attention.out_proj.weight @ value + attention.out_proj.bias
            if residual:
                value = value + token
                value = value + last.mlp(last.ln_2(value))
            expected = visual.ln_post(value) @ visual.proj
        assert torch.allclose(model.dense(image)[0, :, 2, 3], expected, atol=1e-5)

    def test_with_equal_tokens_the_value_path_is_the_vits_attention(self) -> None:
        """Attention over equal tokens returns their value."""
        model = maskclip("vit")
        last = model.clip.visual.transformer.resblocks[1]
        with torch.no_grad():
            same = torch.rand(1, 1, 16).expand(1, 5, 16)
            whole = last(same)
            attention = last.attn
            value = attention.out_proj(F.linear(last.ln_1(same), attention.in_proj_weight[32:]))
            value = same + value
            assert torch.allclose(whole, value + last.mlp(last.ln_2(value)), atol=1e-5)

    def test_templates_are_averaged_and_relevance_is_a_cosine(self) -> None:
        model = maskclip("vit")
        with torch.no_grad():
            one, two = F.normalize(model.clip.encode_text(tokens(["dog", "a dog"])), dim=1)
            expected = F.normalize((one + two) / 2, dim=0)
        assert torch.allclose(model.embed_phrase("dog"), expected, atol=1e-6)
        features = model.encode(torch.rand(1, 3, 64, 64))
        relevance = model.relevance(features, "dog")
        assert relevance.shape == (1, 1, 64, 64)
        for pixel, cell in ((0, 0), (63, 3)):  # beyond the centres of the outer cells their values are repeated
            cosine = features.levels["values"][0][0, :, 0, cell] @ expected
            assert relevance[0, 0, 0, pixel].item() == pytest.approx(float(cosine), abs=1e-5)

    def test_missing_weights_are_errors_with_a_hint(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        def offline(*_: object, **__: object) -> None:
            raise OSError("no connection")

        monkeypatch.setattr(open_clip, "create_model", offline)
        with pytest.raises(SaywhereError, match=r"no connection.*download.*relevance\.weights.*clicks work"):
            load_maskclip()
        with pytest.raises(SaywhereError, match="no such file"):
            load_maskclip("RN50", str(tmp_path / "none.safetensors"))
        with pytest.raises(SaywhereError, match="list_models"):
            load_maskclip("RN51")
        with pytest.raises(SaywhereError, match="give one of"):
            load_maskclip("RN50", "laion")


class TestNetwork:
    def test_clicks_work_without_a_source_and_phrases_are_an_error(self, tmp_path: Path) -> None:
        model = connected({"weights": str(tmp_path / "none.safetensors")})
        assert model.phrases
        features = model.encode(torch.rand(1, 3, 64, 64))
        assert model.decode(features, [Prompt((Click(3, 4),))], None).shape == (1, 1, 64, 64)
        with pytest.raises(SaywhereError, match=r"none\.safetensors"):
            model.decode(features, [Prompt((Click(3, 4),), "dog")], None)

    def test_the_baseline_has_no_relevance_channel_and_no_phrases(self) -> None:
        model = TextClick(**TINY, relevance="none")
        assert not model.phrases
        assert model.encoder.conv_stem.in_channels == 4  # type: ignore[union-attr]
        with pytest.raises(SaywhereError, match="no relevance map"):
            model.relevance(model.encode(torch.rand(1, 3, 64, 64)), "dog")

    @pytest.mark.parametrize("wrong", ["clip", {"clip": "RN50"}, {"weights": "a", "other": "b"}])
    def test_another_form_of_the_option_is_an_error(self, wrong: Any) -> None:
        with pytest.raises(SaywhereError, match="give 'none'"):
            relevance_channel(wrong)

    def test_an_image_is_encoded_once_and_phrases_matter(self) -> None:
        model = TextClick(**TINY).eval()
        assert model.relevance_channel is not None
        source = maskclip("vit")
        encoded = []
        dense = source.dense
        source.dense = lambda image: encoded.append(image) or dense(image)  # type: ignore[func-returns-value]
        model.relevance_channel.loaded = source
        features = model.encode(torch.rand(2, 3, 64, 96))
        with torch.inference_mode():
            model.decode(features, [Prompt((Click(3, 4),))] * 2, None)
            assert encoded == []
            logits = [model.decode(features, [Prompt((Click(3, 4),), p)] * 2, None) for p in ("dog", "cat", None)]
            mixed = model.decode(features, [Prompt((Click(3, 4),), "dog"), Prompt((Click(3, 4),))], None)
        assert len(encoded) == 1
        assert not torch.equal(logits[0], logits[1])
        assert torch.allclose(mixed[0], logits[0][0], atol=1e-5)
        assert torch.allclose(mixed[1], logits[2][1], atol=1e-5)
        relevance = model.relevance(model.encode(torch.rand(1, 3, 64, 96)), "dog")
        assert relevance.shape == (1, 1, 64, 96)
        assert (relevance.min().item(), relevance.max().item()) == (0.0, 1.0)

    def test_a_network_can_be_the_relevance_source(self, tmp_path: Path) -> None:
        options = {"widths": [8, 8, 16, 16], "key": 0, "relevance": ["learned"]}
        torch.manual_seed(0)
        source = Saywhere(**{**options, "widths": (8, 8, 16, 16)}).eval()
        save_model(tmp_path / "source.safetensors", source, "saywhere", options, {})
        model = connected({"weights": str(tmp_path / "source.safetensors")})
        image = torch.rand(1, 3, 64, 64)
        relevance = model.relevance(model.encode(image), "dog")
        with torch.inference_mode():
            expected = 0.5 + 0.5 * rescale(source.relevance(source.encode(image), "dog"))
        assert torch.allclose(relevance, expected, atol=0.05)  # matrices are stored in float16
        assert not [name for name in model.state_dict() if "source" in name or "learned" in name]

    def test_without_a_loader_a_phrase_is_an_error(self) -> None:
        model = TextClick(**TINY, relevance={"weights": "saywhere"}).eval()
        with pytest.raises(SaywhereError, match=r"'saywhere': nothing loads them.*connect_relevance_source"):
            model.relevance(model.encode(torch.rand(1, 3, 64, 64)), "dog")

    def test_a_source_without_phrases_is_an_error(self, tmp_path: Path) -> None:
        options = {"widths": [8, 8, 16, 16], "key": 0}
        path = tmp_path / "no-phrases.safetensors"
        save_model(path, Saywhere(widths=(8, 8, 16, 16), key=0), "saywhere", options, {})
        model = connected({"weights": str(path)})
        with pytest.raises(SaywhereError, match="does not read phrases"):
            model.relevance(model.encode(torch.rand(1, 3, 64, 64)), "dog")
