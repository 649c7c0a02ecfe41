"""PhraseClick: its equations by hand, attribute words, and the network."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from saywhere import Click, Prompt, SaywhereError
from saywhere.models.checkpoint import load_model, read_tensors, save_model, write_tensors
from saywhere.models.deeplab import DeepLab
from saywhere.models.layers.phrase import AttributeAttention, attribute_loss
from saywhere.models.phraseclick import ATTRIBUTES, PhraseClick, distance_maps, known_attributes
from saywhere.models.targets import PhraseSupervision
from saywhere.text.words import shipped_words

TINY = {"backbone": "resnet18", "channels": 16, "hidden": 8}
CLICK = Click(10, 12)


@pytest.fixture(scope="module")
def model() -> PhraseClick:
    torch.manual_seed(0)
    return PhraseClick(**TINY, attributes=["dog", "red", "left"])


class TestEquations:
    def test_equation_1(self) -> None:
        positive, negative = distance_maps([Prompt((Click(3, 0), Click(0, 4, False)))], (6, 300))[0].numpy()
        assert positive[0, 3] == 0.0
        assert positive[4, 0] == pytest.approx(5 / 255)
        assert negative[0, 3] == pytest.approx(5 / 255)
        assert positive[0, 299] == 1.0  # truncated at 255 pixels
        assert (distance_maps([Prompt()], (2, 3)) == 1.0).all()

    def test_end_at_the_limit_that_a_recipe_gives(self) -> None:
        positive = distance_maps([Prompt((Click(0, 0),))], (1, 200), 80.0)[0, 0].numpy()
        assert positive[0, 40] == 0.5
        assert (positive[0, 80:] == 1.0).all()

    def test_equations_3_to_5(self) -> None:
        attention = AttributeAttention(2, 1).eval()
        with torch.no_grad():
            attention.adapt.weight.copy_(torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.0, -1.0]]))
            attention.adapt.bias.zero_()
            attention.norm.eps = 0.0
            attention.gate.fill_(2.0)
            # The context vector C is (0.3 of the phrase) + (means 1 and 4 of the two channels).
            features = torch.tensor([[[[0.0, 2.0]], [[4.0, 4.0]]]])
            phrase = torch.tensor([[0.3]])
            weights, weighed = attention.attributes(features, phrase), attention(features, phrase)
        first, second = math.tanh(0.3 + 0.5), math.tanh(-4.0)
        assert weights[0].tolist() == pytest.approx([first, second], rel=1e-5)
        assert weighed[0, 0, 0].tolist() == pytest.approx([0.0, 2.0 + 2.0 * first * 2.0], rel=1e-5)
        assert weighed[0, 1, 0, 0].item() == pytest.approx(4.0 + 2.0 * second * 4.0, rel=1e-5)

    def test_equation_7(self) -> None:
        logits, present = torch.tensor([[0.0, 2.0]]), torch.tensor([[1.0, 0.0]])
        loss = attribute_loss(logits, present, torch.tensor([0.5, 1.5]))
        assert loss.item() == pytest.approx((0.5 * math.log(2) + 1.5 * math.log(1 + math.exp(2))) / 2)
        assert loss > attribute_loss(-logits, present, torch.tensor([0.5, 1.5]))


class TestAttributes:
    def test_attribute_words_and_their_plurals_in_phrases(self, model: PhraseClick) -> None:
        rows = model.attribute_labels(["the Red dogs", None, "cat", "bus on the left-hand side"]).tolist()
        assert rows == [[1.0, 1.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    def test_rare_words_weigh_more(self, model: PhraseClick) -> None:
        model.word_counts.copy_(torch.tensor([4.0, 16.0, 0.0]))
        # 1/2, 1/4 and 1, over their mean of 7/12.
        assert model.word_weights().tolist() == pytest.approx([6 / 7, 3 / 7, 12 / 7])
        model.word_counts.zero_()

    def test_the_default_words_are_known(self) -> None:
        assert len(known_attributes(ATTRIBUTES, shipped_words())) > 80

    def test_an_unknown_word_is_an_error(self) -> None:
        with pytest.raises(SaywhereError, match="xyzzyx"):
            PhraseClick(**TINY, attributes=["dog", "xyzzyx"])

    def test_the_loss_is_omega_a_times_equation_7_over_images_with_a_phrase(self) -> None:
        model = PhraseClick(**TINY, attributes=["dog", "red"]).train()
        features, prompts = model.encode(torch.rand(2, 3, 64, 64)), [Prompt((CLICK,), "dog"), Prompt((CLICK,))]
        model.decode(features, prompts, None)
        assert model.naming is not None
        with torch.no_grad():
            model.naming.weight.zero_()
        loss = model.auxiliary_loss(features, prompts, [PhraseSupervision((), None)] * 2, shipped_words())
        # Logits of 0; "dog" occurred once and "red" never, which gives equal weights.
        assert loss.item() == pytest.approx(10.0 * math.log(2))
        assert sorted(model.word_counts.tolist()) == [0.0, 1.0]
        without_phrases = [Prompt((CLICK,))] * 2
        loss = model.auxiliary_loss(features, without_phrases, [PhraseSupervision((), None)] * 2, shipped_words())
        assert loss.item() == 0.0


class TestNetwork:
    def test_the_phrase_matters_and_an_unknown_one_equals_none(self, model: PhraseClick) -> None:
        model.eval()
        with torch.no_grad():
            model.attention.gate.fill_(1.0)
        features = model.encode(torch.rand(1, 3, 64, 64))
        with torch.inference_mode():
            logits = {p: model.decode(features, [Prompt((CLICK,), p)], None) for p in (None, "dog", "cat", "qqq")}
        assert not torch.equal(logits["dog"], logits["cat"])
        assert torch.equal(logits[None], logits["qqq"])

    def test_new_input_channels_have_the_initial_weights_of_the_paper(self, model: PhraseClick) -> None:
        weight = model.encoder.conv1.weight  # type: ignore[union-attr]
        assert weight.shape == (64, 5, 7, 7)
        assert weight[:, 3:].std().item() == pytest.approx(0.01, rel=0.05)

    def test_wrong_options_are_errors(self) -> None:
        with pytest.raises(SaywhereError, match="resnt18"):
            PhraseClick(backbone="resnt18")
        with pytest.raises(SaywhereError, match="stride 32"):
            PhraseClick(**TINY, stride=32)

    def test_without_the_library_the_error_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(__import__("sys").modules, "segmentation_models_pytorch.decoders.deeplabv3.decoder", None)
        with pytest.raises(SaywhereError, match=r"saywhere\[torch\]"):
            PhraseClick(**TINY)

    def test_logits_are_aligned_with_the_image(self, model: PhraseClick) -> None:
        """The gradient of a logit with respect to the image is largest near the logit's pixel."""
        assert isinstance(model, DeepLab)
        model.eval()
        image = torch.rand(1, 3, 64, 128)
        features = model.encode(image)
        image = image.requires_grad_()
        logits = model.decode(model.encode(image), [Prompt((CLICK,))], None)
        (gradient,) = torch.autograd.grad(logits[0, 0, 50, 100], image)
        row, column = np.unravel_index(int(gradient.abs().sum(1)[0].argmax()), (64, 128))
        assert features.size == (64, 128)
        assert abs(row - 50) < 16
        assert abs(column - 100) < 16


def test_weights_of_earlier_releases_are_read(tmp_path: Path) -> None:
    model = PhraseClick(**TINY)
    model.word_counts[0] = 7.0
    save_model(tmp_path / "now.safetensors", model, "phraseclick", TINY, {})
    tensors, metadata = read_tensors(tmp_path / "now.safetensors")
    tensors["said"] = tensors.pop("word_counts")
    write_tensors(tmp_path / "before.safetensors", tensors, metadata)
    loaded = load_model(tmp_path / "before.safetensors").model
    assert isinstance(loaded, PhraseClick)
    assert loaded.word_counts[0] == 7.0
