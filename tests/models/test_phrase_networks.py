"""Phrases in networks: their encoding, relevance maps and attention."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from saywhere import Click, Prompt, SaywhereError, Segmenter
from saywhere.models.layers.phrase import AttributeAttention, EncodedPhrases, PhraseEncoder, attribute_loss
from saywhere.models.layers.relevance import LearnedRelevance
from saywhere.models.saywhere import Saywhere
from saywhere.models.targets import PhraseSupervision
from saywhere.runtime.torch import TorchRuntime
from saywhere.text.words import Words

WITH_PHRASES = {"widths": (16, 16, 16, 16), "relevance": ("learned",), "attention": True}


class TestPhraseEncoder:
    def test_a_phrase_is_encoded_the_same_in_a_batch_and_alone(self) -> None:
        encoder = PhraseEncoder(hidden=4)
        batch = encoder(["dog", None, "red shoes on the left", "zxqv"])
        single = encoder(["red shoes on the left"])
        assert torch.allclose(batch.context[2], single.context[0], atol=1e-6)
        assert batch.present.tolist() == [1.0, 0.0, 1.0, 0.0]
        for row in (1, 3):  # no phrase, or no known word: zeros
            assert not batch.context[row].any()
            assert not batch.meaning[row].any()
        assert batch.meaning[0].norm().item() == pytest.approx(1.0)

    def test_the_order_of_words_matters(self) -> None:
        encoded = PhraseEncoder(hidden=4)(["dog left cat", "cat left dog"])
        assert not torch.allclose(encoded.context[0], encoded.context[1])
        assert torch.allclose(encoded.meaning[0], encoded.meaning[1])

    def test_words_can_have_learned_weights(self) -> None:
        torch.manual_seed(0)
        encoder = PhraseEncoder(hidden=4, weigh=True)
        phrases = ["red dog", None, "dog", "zxqv"]
        unweighted = PhraseEncoder(hidden=4)(phrases)
        assert torch.allclose(encoder(phrases).meaning, unweighted.meaning, atol=1e-6)  # the initial weights are equal
        assert encoder.weight is not None
        torch.nn.init.normal_(encoder.weight.weight, std=100.0)
        weighted = encoder(phrases).meaning
        vectors = (torch.from_numpy(encoder.words.phrase_vector(word)) for word in ("red", "dog"))
        assert max(float(weighted[0].detach() @ vector) for vector in vectors) == pytest.approx(1.0, abs=0.02)
        assert torch.allclose(weighted[2], unweighted.meaning[2], atol=1e-6)
        assert not weighted[1].any()
        assert not weighted[3].any()
        weighted[0].sum().backward()
        assert encoder.weight.weight.grad is not None
        assert torch.isfinite(encoder.weight.weight.grad).all()

    def test_attention_by_hand(self) -> None:
        """Equations 3 to 5: A = tanh(W [h, f] + b), F' = gate * A * F + F."""
        layer = AttributeAttention(channels=2, context=1).eval()
        with torch.no_grad():
            layer.adapt.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
            layer.adapt.bias.copy_(torch.tensor([0.5, 0.0]))
            layer.norm.running_var.fill_(1.0 - layer.norm.eps)
            layer.gate.fill_(0.5)
        features = torch.tensor([[[[1.0, 3.0]], [[5.0, 7.0]]]])  # means 2 and 6
        phrase = torch.tensor([[0.25]])
        a0, a1 = math.tanh(0.25 + 0.5), math.tanh(2.0 * 2.0)
        expected = torch.tensor(
            [[[[1.0 + 0.5 * a0 * 1.0, 3.0 + 0.5 * a0 * 3.0]], [[5.0 + 0.5 * a1 * 5.0, 7.0 + 0.5 * a1 * 7.0]]]]
        )
        assert torch.allclose(layer(features, phrase), expected, atol=1e-5)

    def test_attribute_loss_by_hand(self) -> None:
        """Equation 7 with weights 1 and 3 on two words, of which the phrase has the first."""
        logits = torch.tensor([[0.0, 1.0]])
        expected = (1.0 * math.log(2.0) + 3.0 * -math.log(1.0 - 1.0 / (1.0 + math.exp(-1.0)))) / 2.0
        loss = attribute_loss(logits, torch.tensor([[1.0, 0.0]]), torch.tensor([1.0, 3.0]))
        assert loss.item() == pytest.approx(expected, rel=1e-5)


class TestRelevance:
    def test_logits_are_scaled_cosines_with_the_phrase(self) -> None:
        layer = LearnedRelevance(channels=3, context=2, dimensions=4, width=8).eval()
        with torch.no_grad():
            layer.plane.weight.zero_()
            layer.plane.bias.zero_()
            layer.sharpness.fill_(10.0)
            layer.offset.fill_(-1.0)
        meaning = torch.zeros(2, layer.words.in_features)
        meaning[:, 0] = 1.0
        phrase = torch.nn.functional.normalize(layer.words(meaning), dim=1)[0]
        embedded = torch.zeros(2, 4, 1, 2)
        embedded[:, :, 0, 0] = phrase
        embedded[:, :, 0, 1] = -phrase
        phrases = EncodedPhrases(torch.zeros(2, 2), meaning, torch.tensor([1.0, 0.0]))
        logits = layer(embedded, phrases)
        assert logits[0].flatten().tolist() == pytest.approx([9.0, -11.0], abs=1e-4)
        assert not logits[1].any()  # the second image has no phrase

    def test_label_contrast_takes_one_of_a_pixels_labels_as_its_target(self) -> None:
        layer = LearnedRelevance(channels=3, context=2, dimensions=2, width=8)
        with torch.no_grad():
            layer.words.weight.zero_()
            layer.words.weight[:2, :2] = torch.eye(2)
            layer.words.bias.zero_()
        vectors = np.zeros((3, layer.words.in_features), np.float32)
        vectors[0, 0] = vectors[1, 1] = 1.0
        vectors[2, 0] = -1.0
        labels = Words(["shoe", "person", "car"], vectors)
        mask = torch.tensor([[True]])
        embedded = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
        both = layer.label_contrast_loss(embedded, [[("shoe", mask), ("person", mask)]], labels)
        single = layer.label_contrast_loss(embedded, [[("shoe", mask)]], labels)
        wrong = layer.label_contrast_loss(embedded, [[("car", mask)]], labels)
        assert single.item() < 1e-5 < wrong.item()
        # Whichever of the two is the target, the other is no negative; only the car is one.
        car = torch.tensor(-1.0 / 0.07).exp()
        expected = [torch.log1p(car / torch.tensor(cosine / 0.07).exp()).item() for cosine in (1.0, 0.0)]
        assert min(abs(both.item() - value) for value in expected) < 1e-4
        assert layer.label_contrast_loss(embedded, [[("unknown", mask)]], labels).item() == 0.0


class TestNetwork:
    def test_without_a_known_phrase_the_mask_does_not_depend_on_it(self) -> None:
        torch.manual_seed(0)
        model = Saywhere(**WITH_PHRASES).eval()
        image, clicks = torch.rand(2, 3, 64, 64), (Click(20, 20),)
        with torch.inference_mode():
            without = model(image, [Prompt(clicks), Prompt(clicks)])
            unknown = model(image, [Prompt(clicks, "zxqv"), Prompt(clicks)])
            with_phrase = model(image, [Prompt(clicks, "dog"), Prompt(clicks)])
        assert torch.equal(without, unknown)
        assert not torch.allclose(without[0], with_phrase[0])
        assert torch.allclose(without[1], with_phrase[1], atol=1e-5)  # another image's phrase has no influence

    @pytest.mark.parametrize("source", ["learned", "classifier"])
    @pytest.mark.parametrize("size", [(64, 96), (50, 33)])
    def test_a_relevance_map_has_the_images_size(self, source: str, size: tuple[int, int]) -> None:
        model = Saywhere(widths=(16, 16, 16, 16), relevance=(source,)).eval()
        with torch.inference_mode():
            relevance = model.relevance(model.encode(torch.rand(1, 3, *size)), "dog")
        assert relevance.shape == (1, 1, *size)
        assert 0.0 <= relevance.min() <= relevance.max() <= 1.0

    def test_the_map_learns_where_a_phrase_applies(self) -> None:
        torch.manual_seed(0)
        model = Saywhere(**WITH_PHRASES).train()
        image = torch.zeros(2, 3, 64, 64)
        image[:, 0, :, :32] = 1.0
        left = torch.zeros(8, 8, dtype=torch.bool)
        left[:, :4] = True
        supervision = [
            PhraseSupervision((("dog", left), ("car", ~left)), left),
            PhraseSupervision((("car", ~left), ("dog", left)), ~left),
        ]
        prompts = [Prompt((), "dog"), Prompt((), "car")]
        labels = Words(["car", "dog"], np.stack([model.phrase_encoder.words.phrase_vector(w) for w in ("car", "dog")]))
        optimiser = torch.optim.Adam(model.parameters(), 3e-3)
        losses = []
        for _ in range(25):
            loss = model.auxiliary_loss(model.encode(image), prompts, supervision, labels)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < 0.5 * losses[0]
        relevance = model.eval().relevance(model.encode(image[:1]), "dog")[0, 0]
        assert relevance[:, :24].mean() > relevance[:, 40:].mean() + 0.3

    def test_word_vectors_from_a_file(self, tmp_path: Path, photo: np.ndarray) -> None:
        (tmp_path / "vectors.txt").write_text("hund 1 0 0\nkatze 0 1 0\n")
        options = {"widths": (16, 16, 16, 16), "relevance": ("learned", "classifier"), "attention": True}
        model = Saywhere(**options, words=str(tmp_path / "vectors.txt"))
        segmenter = Segmenter(TorchRuntime(model, "german")).set_image(photo)
        assert segmenter.say("Hund").array.shape == photo.shape[:2]
        with pytest.raises(SaywhereError, match="'dog'"):
            segmenter.say("dog")

    def test_a_network_without_phrases_has_no_relevance_map(self) -> None:
        model = Saywhere(widths=(16, 16, 16, 16))
        with pytest.raises(SaywhereError, match="no relevance map"):
            model.relevance(model.encode(torch.rand(1, 3, 64, 64)), "dog")
        with pytest.raises(SaywhereError, match="learned, classifier"):
            Saywhere(relevance=("clip",))
