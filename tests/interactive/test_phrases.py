"""Phrases in networks, in training, in a Segmenter and in the benchmark."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from conftest import ColourRuntime, DiscRuntime, disc
from saywhere import Click, Prompt, SaywhereError, Segmenter, Settings
from saywhere.core.prompt import mirrored
from saywhere.data.datasets import Sample, load_dataset
from saywhere.evaluation import phrases as robots
from saywhere.evaluation.benchmark import Task, bench
from saywhere.evaluation.evaluate import prompt_of, segment_object
from saywhere.evaluation.journal import read_records
from saywhere.evaluation.phrases import PhraseMode, with_phrases
from saywhere.evaluation.robot_user import RobotUser
from saywhere.models.layers.phrase import AttributeAttention, EncodedPhrases, PhraseEncoder, attribute_loss
from saywhere.models.layers.relevance import LearnedRelevance
from saywhere.models.saywhere import Saywhere
from saywhere.models.targets import PhraseSupervision
from saywhere.runtime.base import Capabilities
from saywhere.runtime.timed import TimedRuntime
from saywhere.runtime.torch import TorchRuntime
from saywhere.text.words import Words
from saywhere.training.dataset import CropDataset
from saywhere.training.phrases import ADJECTIVES, CONTEXT_NOUNS, PREPOSITIONS, described, phrase_for, qualifiers
from saywhere.training.recipe import Recipe

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


class TestTrainingPhrases:
    def test_left_and_right_are_swapped_in_mirrored_phrases(self) -> None:
        assert mirrored("front left door") == "front right door"
        assert mirrored("dog on the right") == "dog on the left"

    def test_qualifiers_distinguish_a_box_from_others(self) -> None:
        small_left, large_right = (0.0, 0.0, 0.1, 0.1), (0.6, 0.0, 0.4, 0.4)
        assert qualifiers(small_left, [large_right]) == ["left", "smallest"]
        assert qualifiers(large_right, [small_left]) == ["right", "largest"]
        assert qualifiers(small_left, [small_left]) == []

    @given(st.integers(0, 200))
    def test_phrases_with_a_qualifier_mean_one_object(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        box, other = (0.0, 0.0, 0.1, 0.1), (0.6, 0.0, 0.4, 0.4)
        phrase, is_unique = phrase_for("dog", box, [other], {"dog": ("puppy",)}, rng)
        assert is_unique == any(word in phrase for word in ("left", "smallest"))
        assert "dog" in phrase or "puppy" in phrase
        assert phrase_for("dog", box, [], {}, rng) == ("dog", True)

    @given(st.integers(0, 200))
    def test_descriptions_keep_the_label_and_put_no_other_noun_before_it(self, seed: int) -> None:
        phrase = described("dog", ["red hat"], np.random.default_rng(seed))
        before, _, after = f"{phrase} ".partition("dog ")
        assert phrase != "dog"
        assert before.strip() in {"", *ADJECTIVES}
        assert not after or any(after.startswith(f"{relation} ") for relation in PREPOSITIONS)

    def test_crops_have_phrases_as_in_the_recipe(self, coco: Path) -> None:
        base = {"model": {"name": "saywhere"}, "data": [{"path": str(coco)}], "crop": {"size": 96}}

        def crops(**phrases: object) -> list[object]:
            recipe = Recipe.model_validate({**base, "phrases": phrases})
            dataset = CropDataset(recipe)
            return [dataset[i] for i in range(12)]

        assert all(c.prompt.phrase is None and c.supervision.target is None for c in crops())
        for crop in crops(phrase_prob=1.0, wrong_phrase_prob=0.0, phrase_only_prob=0.0):
            assert crop.prompt.phrase == "card"
            assert crop.prompt.clicks
            ((label, mask),) = crop.supervision.regions
            assert label == "card"
            assert np.array_equal(mask, crop.supervision.target)
        phrases = [
            c.prompt.phrase
            for c in crops(phrase_prob=1.0, wrong_phrase_prob=0.0, phrase_only_prob=0.0, described_phrase_prob=1.0)
        ]
        assert all(p != "card" and "card" in p for p in phrases)
        for crop in crops(phrase_prob=1.0, wrong_phrase_prob=0.0, phrase_only_prob=1.0):
            assert not crop.prompt.clicks
        for crop in crops(phrase_prob=1.0, wrong_phrase_prob=1.0):
            assert crop.prompt.phrase != "card"
            assert not crop.supervision.target.any()
            assert crop.prompt.clicks

    def test_objects_with_held_out_labels_are_not_drawn(self, coco: Path) -> None:
        recipe = Recipe.model_validate(
            {"model": {"name": "saywhere"}, "data": [{"path": str(coco)}], "phrases": {"held_out": ["card"]}}
        )
        with pytest.raises(SaywhereError, match="no object"):
            CropDataset(recipe)


COLOURS = {"red": (220, 30, 20), "blue": (20, 40, 160)}


class PhraseRuntime(ColourRuntime):
    """Segments the colour that the phrase names, or that of the first click without a phrase."""

    name = "phrases"
    capabilities = Capabilities(phrases=True, relevance=True, calibrated_relevance=True)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        if prompt.phrase is None:
            return super().decode(features, prompt, previous)
        return 16.0 * self.relevance(features, prompt.phrase) - 8.0

    def relevance(self, features: np.ndarray, phrase: str) -> np.ndarray:
        difference = np.abs(features - np.array(COLOURS.get(phrase, (255, 255, 255)), np.float32)).max(2)
        return (difference < 60).astype(np.float32)


@pytest.fixture
def segmenter(photo: np.ndarray) -> Segmenter:
    return Segmenter(PhraseRuntime()).set_image(photo)


class TestSegmenter:
    def test_a_phrase_can_be_set_and_removed_at_any_time(self, photo: np.ndarray) -> None:
        segmenter = Segmenter(PhraseRuntime(), Settings(phrase_relevance_threshold=0.0)).set_image(photo)
        red = disc(480, 640, 300, 200, 40)
        first = segmenter.say("red")
        assert np.mean(first.array == red) > 0.999
        clicked = segmenter.click(300, 200)
        assert segmenter.prompt == Prompt((Click(300, 200),), "red")
        changed = segmenter.say("blue")
        assert np.mean(changed.array == ~red) > 0.99
        without = segmenter.say(None)
        assert segmenter.prompt == Prompt((Click(300, 200),))
        assert np.mean(without.array == red) > 0.999
        assert segmenter.undo() is changed
        assert segmenter.undo() is clicked
        assert segmenter.undo() is first
        assert segmenter.undo() is None
        assert segmenter.redo() is first
        assert segmenter.say(None) is None
        assert not segmenter.prompt

    def test_a_phrase_that_conflicts_with_the_click_is_not_used(self, segmenter: Segmenter) -> None:
        clicked = segmenter.click(300, 200)
        mask = segmenter.say("blue")
        assert mask is not None
        assert np.array_equal(mask.array, clicked.array)
        assert segmenter.prompt.phrase == "blue"
        assert not segmenter.fits("blue")
        assert segmenter.fits("red")
        both = segmenter.click(20, 20)  # this click is on a blue pixel
        assert both.array[300, 20]
        assert not both.array[200, 300]
        assert segmenter.fits("blue")
        assert Segmenter(PhraseRuntime()).set_image(segmenter.encoded.image).fits("red")
        assert not Segmenter(PhraseRuntime()).set_image(segmenter.encoded.image).fits("green")

    def test_without_calibrated_relevance_every_phrase_is_used(self, photo: np.ndarray) -> None:
        runtime = PhraseRuntime()
        runtime.capabilities = replace(runtime.capabilities, calibrated_relevance=False)
        segmenter = Segmenter(runtime).set_image(photo)
        segmenter.click(300, 200)
        mask = segmenter.say("blue")
        assert mask is not None
        assert mask.array[10, 10]
        assert segmenter.fits("blue")

    def test_a_phrase_alone_may_mean_several_objects_and_a_click_one(self) -> None:
        image = np.zeros((240, 320, 3), np.uint8)
        image[disc(240, 320, 80, 120, 30)] = image[disc(240, 320, 240, 120, 40)] = COLOURS["red"]
        segmenter = Segmenter(PhraseRuntime()).set_image(image)

        def segmented() -> list[bool]:
            assert segmenter.mask is not None
            return [bool(segmenter.mask.array[120, x]) for x in (80, 240)]

        segmenter.say("red")
        assert segmented() == [True, True]
        segmenter.click(10, 10, positive=False)
        assert segmented() == [True, True]
        assert segmenter.propose("red").mask.array[120, [80, 240]].all()
        segmenter.click(80, 120)
        assert segmented() == [True, False]

    def test_a_proposal_from_a_phrase_alone(self, segmenter: Segmenter) -> None:
        proposal = segmenter.propose("red")
        assert proposal.relevance.shape == (480, 640)
        assert proposal.relevance[200, 300] > 0.9 > 0.1 > proposal.relevance[10, 10]
        assert disc(480, 640, 300, 200, 40)[int(proposal.click.y), int(proposal.click.x)]
        assert np.mean(proposal.mask.array == disc(480, 640, 300, 200, 40)) > 0.999
        assert not segmenter.prompt
        assert proposal.is_present
        absent = segmenter.propose("green")
        assert not absent.is_present
        assert absent.relevance[int(absent.click.y), int(absent.click.x)] < 0.1
        assert not absent.mask.array.any()

    def test_with_a_negative_click_a_phrase_still_finds_its_object(self, photo: np.ndarray) -> None:
        runtime = PhraseRuntime()
        decoded: list[Prompt] = []
        decode = runtime.decode
        runtime.decode = lambda features, prompt, previous: decoded.append(prompt) or decode(features, prompt, previous)
        segmenter = Segmenter(runtime, Settings(zoom=False)).set_image(photo)
        segmenter.say("red")
        segmenter.click(20, 20, positive=False)
        assert segmenter.prompt == Prompt((Click(20, 20, False),), "red")
        assert [sum(c.positive for c in prompt.clicks) for prompt in decoded] == [1, 1]

    def test_a_bad_phrase_changes_nothing(self, segmenter: Segmenter, photo: np.ndarray) -> None:
        mask = segmenter.click(300, 200)
        for phrase in ("", "zxqv", "🐶", "x" * 10_000):
            for method in (segmenter.say, segmenter.relevance_map, segmenter.propose):
                with pytest.raises(SaywhereError, match="phrase"):
                    method(phrase)
        assert segmenter.mask is mask
        without_phrases = Segmenter(ColourRuntime()).set_image(photo)
        with pytest.raises(SaywhereError, match="understand no phrases"):
            without_phrases.say("red")

    def test_a_network_without_a_relevance_map_can_use_phrases(self, photo: np.ndarray) -> None:
        torch.manual_seed(0)
        model = Saywhere(widths=(16, 16, 16, 16), attention=True)
        segmenter = Segmenter(TorchRuntime(model, "no-map")).set_image(photo)
        assert segmenter.say("dog").array.shape == photo.shape[:2]
        with pytest.raises(SaywhereError, match="no relevance map"):
            segmenter.relevance_map("dog")

    def test_predict_takes_text(self, segmenter: Segmenter) -> None:
        masks, _, _ = segmenter.predict(text="red")
        assert masks[0][200, 300]
        assert not masks[0][10, 10]


class IgnoringRuntime(DiscRuntime):
    """Accepts phrases and ignores them."""

    capabilities = Capabilities(phrases=True)

    def relevance(self, features: np.ndarray, phrase: str) -> np.ndarray:
        return np.zeros(features.shape[:2], np.float32)


class TestBench:
    def test_the_phrase_is_an_interaction_after_the_first_click(self, coco: Path) -> None:
        samples = with_phrases(load_dataset(str(coco)), PhraseMode.OWN)
        assert {s.phrase for s in samples} == {"card"}
        timed = TimedRuntime(IgnoringRuntime())
        interactions = list(
            segment_object(RobotUser(4, phrase_at=PhraseMode.OWN.at), Segmenter(timed), timed, samples[0])
        )
        assert [i.phrase for i in interactions][:2] == [None, "card"]
        assert interactions[1].click is None
        assert all(i.phrase is None for i in interactions[2:])
        assert prompt_of(interactions).phrase == "card"
        timed = TimedRuntime(IgnoringRuntime())
        again = list(segment_object(RobotUser(4, phrase_at=1), Segmenter(timed), timed, samples[0], interactions[:2]))
        assert [replace(i, ms=0, encode_ms=0, decode_ms=0) for i in again] == [
            replace(i, ms=0, encode_ms=0, decode_ms=0) for i in interactions[2:]
        ]

    def test_described_phrases_contain_the_label_and_unseen_words(self, coco: Path) -> None:
        samples = load_dataset(str(coco))
        described = [s.phrase or "" for s in with_phrases(samples, PhraseMode.DESCRIBED)]
        assert described == [s.phrase for s in with_phrases(samples, PhraseMode.DESCRIBED)]
        for phrase, own in zip(described, with_phrases(samples, PhraseMode.OWN), strict=True):
            assert own.phrase is not None
            assert own.phrase in phrase
            assert phrase != own.phrase
        training_words = {*ADJECTIVES, *CONTEXT_NOUNS}
        assert not training_words & set(robots.QUALITIES)
        assert not training_words & {phrase.split()[-1] for phrase in robots.CONTEXTS}

    def test_phrase_first(self, coco: Path) -> None:
        samples = with_phrases(load_dataset(str(coco)), PhraseMode.FIRST)
        timed = TimedRuntime(IgnoringRuntime())
        interactions = list(
            segment_object(RobotUser(3, phrase_at=PhraseMode.FIRST.at), Segmenter(timed), timed, samples[0])
        )
        assert interactions[0].phrase == "card"
        assert interactions[1].click is not None

    def test_a_wrong_phrase_is_a_label_of_another_image(self) -> None:
        def sample(name: str, image: str, label: str) -> Sample:
            return Sample(name, Path(image), lambda: np.ones((2, 2), bool), label=label)

        samples = [sample("1", "a", "dog"), sample("2", "a", "cat"), sample("3", "b", "dog"), sample("4", "b", "car")]
        for wrong, own in zip(with_phrases(samples, PhraseMode.WRONG), samples, strict=True):
            assert wrong.phrase not in {s.label for s in samples if s.image_path == own.image_path}
        with pytest.raises(SaywhereError, match="only one"):
            with_phrases(samples[:1], PhraseMode.WRONG)
        with pytest.raises(SaywhereError, match="no phrase or label"):
            with_phrases([replace(samples[0], label=None)], PhraseMode.OWN)

    def test_an_unknown_phrase_costs_an_interaction_and_no_more(self, coco: Path) -> None:
        (sample, *_) = load_dataset(str(coco))
        timed = TimedRuntime(IgnoringRuntime())
        interactions = list(
            segment_object(RobotUser(3, phrase_at=1), Segmenter(timed), timed, replace(sample, phrase="zxqv"))
        )
        assert [i.phrase for i in interactions] == [None, "zxqv", None]
        assert interactions[1].mask == interactions[0].mask

    def test_a_run_records_its_phrases(self, coco: Path, tmp_path: Path) -> None:
        task = Task("test_phrases:IgnoringRuntime", str(coco), max_interactions=3, phrase=PhraseMode.OWN)
        summary = bench(task, tmp_path / "own.json")
        assert summary["phrase"] == "own"
        for interactions in read_records(tmp_path / "own.jsonl").values():
            assert [i.phrase for i in interactions] == [None, "card", None]
        again = bench(task, tmp_path / "own.json")
        assert again["ious"] == summary["ious"]
        with pytest.raises(SaywhereError, match="differs in phrase"):
            bench(replace(task, phrase=None), tmp_path / "own.json")
        with pytest.raises(SaywhereError, match="understands no phrases"):
            bench(replace(task, method="conftest:DiscRuntime"), tmp_path / "other.json")
