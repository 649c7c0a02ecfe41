"""Phrases in networks, in training and in a Segmenter."""

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
from saywhere.evaluation.evaluate import RobotUser, prompt_of, segment_object
from saywhere.evaluation.journal import read_records
from saywhere.evaluation.phrases import PhraseMode, with_phrases
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

SPEAKING = {"widths": (16, 16, 16, 16), "relevance": ("learned",), "attention": True}


class TestReader:
    def test_a_phrase_in_a_batch_reads_as_it_does_alone(self) -> None:
        reader = PhraseEncoder(hidden=4)
        together = reader(["dog", None, "red shoes on the left", "zxqv"])
        alone = reader(["red shoes on the left"])
        assert torch.allclose(together.context[2], alone.context[0], atol=1e-6)
        assert together.present.tolist() == [1.0, 0.0, 1.0, 0.0]
        for row in (1, 3):  # nothing said, or nothing known: zeros
            assert not together.context[row].any()
            assert not together.meaning[row].any()
        assert together.meaning[0].norm().item() == pytest.approx(1.0)

    def test_the_order_of_words_matters(self) -> None:
        read = PhraseEncoder(hidden=4)(["dog left cat", "cat left dog"])
        assert not torch.allclose(read.context[0], read.context[1])
        assert torch.allclose(read.meaning[0], read.meaning[1])

    def test_it_may_weigh_words(self) -> None:
        torch.manual_seed(0)
        reader = PhraseEncoder(hidden=4, weigh=True)
        phrases = ["red dog", None, "dog", "zxqv"]
        plain = PhraseEncoder(hidden=4)(phrases)
        assert torch.allclose(reader(phrases).meaning, plain.meaning, atol=1e-6)  # at first all words count alike
        assert reader.weight is not None
        torch.nn.init.normal_(reader.weight.weight, std=100.0)
        weighed = reader(phrases).meaning
        vectors = (torch.from_numpy(reader.words.phrase_vector(word)) for word in ("red", "dog"))
        assert max(float(weighed[0].detach() @ vector) for vector in vectors) == pytest.approx(1.0, abs=0.02)
        assert torch.allclose(weighed[2], plain.meaning[2], atol=1e-6)
        assert not weighed[1].any()
        assert not weighed[3].any()
        weighed[0].sum().backward()
        assert reader.weight.weight.grad is not None
        assert torch.isfinite(reader.weight.weight.grad).all()

    def test_attention_by_hand(self) -> None:
        """Equations 3 to 5: A = tanh(W [h, f] + b), F' = gate * A * F + F."""
        layer = AttributeAttention(channels=2, context=1).eval()
        with torch.no_grad():
            layer.adapt.weight.copy_(torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
            layer.adapt.bias.copy_(torch.tensor([0.5, 0.0]))
            layer.norm.running_var.fill_(1.0 - layer.norm.eps)
            layer.gate.fill_(0.5)
        features = torch.tensor([[[[1.0, 3.0]], [[5.0, 7.0]]]])  # means 2 and 6
        said = torch.tensor([[0.25]])
        a0, a1 = math.tanh(0.25 + 0.5), math.tanh(2.0 * 2.0)
        expected = torch.tensor(
            [[[[1.0 + 0.5 * a0 * 1.0, 3.0 + 0.5 * a0 * 3.0]], [[5.0 + 0.5 * a1 * 5.0, 7.0 + 0.5 * a1 * 7.0]]]]
        )
        assert torch.allclose(layer(features, said), expected, atol=1e-5)

    def test_attribute_loss_by_hand(self) -> None:
        """Equation 7 with weights 1 and 3 on two words, of which the phrase has the first."""
        logits = torch.tensor([[0.0, 1.0]])
        expected = (1.0 * math.log(2.0) + 3.0 * -math.log(1.0 - 1.0 / (1.0 + math.exp(-1.0)))) / 2.0
        loss = attribute_loss(logits, torch.tensor([[1.0, 0.0]]), torch.tensor([1.0, 3.0]))
        assert loss.item() == pytest.approx(expected, rel=1e-5)


class TestSaliency:
    def test_the_map_is_the_cosine_with_the_phrase(self) -> None:
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
        spoken = EncodedPhrases(torch.zeros(2, 2), meaning, torch.tensor([1.0, 0.0]))
        logits = layer(embedded, spoken)
        assert logits[0].flatten().tolist() == pytest.approx([9.0, -11.0], abs=1e-4)
        assert not logits[1].any()  # nothing was said of the second image

    def test_naming_asks_for_one_of_a_pixels_labels(self) -> None:
        layer = LearnedRelevance(channels=3, context=2, dimensions=2, width=8)
        with torch.no_grad():
            layer.words.weight.zero_()
            layer.words.weight[:2, :2] = torch.eye(2)
            layer.words.bias.zero_()
        vectors = np.zeros((3, layer.words.in_features), np.float32)
        vectors[0, 0] = vectors[1, 1] = 1.0
        vectors[2, 0] = -1.0
        labels = Words(["shoe", "person", "car"], vectors)
        here = torch.tensor([[True]])
        embedded = torch.tensor([1.0, 0.0]).reshape(1, 2, 1, 1)
        both = layer.label_contrast_loss(embedded, [[("shoe", here), ("person", here)]], labels)
        lone = layer.label_contrast_loss(embedded, [[("shoe", here)]], labels)
        wrong = layer.label_contrast_loss(embedded, [[("car", here)]], labels)
        assert lone.item() < 1e-5 < wrong.item()
        # Whichever of the two is asked for, the other is no rival; only the car is.
        car = torch.tensor(-1.0 / 0.07).exp()
        expected = [torch.log1p(car / torch.tensor(c / 0.07).exp()).item() for c in (1.0, 0.0)]
        assert min(abs(both.item() - e) for e in expected) < 1e-4
        assert layer.label_contrast_loss(embedded, [[("unheard", here)]], labels).item() == 0.0


class TestNetwork:
    def test_new_parts_do_not_change_what_clicks_alone_answer(self) -> None:
        torch.manual_seed(0)
        model = Saywhere(**SPEAKING).eval()
        image, clicks = torch.rand(2, 3, 64, 64), (Click(20, 20),)
        with torch.inference_mode():
            silent = model(image, [Prompt(clicks), Prompt(clicks)])
            unknown = model(image, [Prompt(clicks, "zxqv"), Prompt(clicks)])
            said = model(image, [Prompt(clicks, "dog"), Prompt(clicks)])
        assert torch.equal(silent, unknown)
        assert not torch.allclose(silent[0], said[0])
        assert torch.allclose(silent[1], said[1], atol=1e-5)  # one image's phrase is not another's

    @pytest.mark.parametrize("source", ["learned", "classifier"])
    @pytest.mark.parametrize("size", [(64, 96), (50, 33)])
    def test_a_phrase_has_a_map_of_the_images_size(self, source: str, size: tuple[int, int]) -> None:
        model = Saywhere(widths=(16, 16, 16, 16), relevance=(source,)).eval()
        with torch.inference_mode():
            found = model.relevance(model.encode(torch.rand(1, 3, *size)), "dog")
        assert found.shape == (1, 1, *size)
        assert 0.0 <= found.min() <= found.max() <= 1.0

    def test_the_map_learns_where_a_phrase_applies(self) -> None:
        torch.manual_seed(0)
        model = Saywhere(**SPEAKING).train()
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

    def test_words_of_ones_own(self, tmp_path: Path, photo: np.ndarray) -> None:
        (tmp_path / "vectors.txt").write_text("hund 1 0 0\nkatze 0 1 0\n")
        options = {"widths": (16, 16, 16, 16), "relevance": ("learned", "classifier"), "attention": True}
        model = Saywhere(**options, words=str(tmp_path / "vectors.txt"))
        segmenter = Segmenter(TorchRuntime(model, "german")).set_image(photo)
        assert segmenter.say("Hund").array.shape == photo.shape[:2]
        with pytest.raises(SaywhereError, match="'dog'"):
            segmenter.say("dog")

    def test_a_network_without_phrases_says_so(self) -> None:
        model = Saywhere(widths=(16, 16, 16, 16))
        with pytest.raises(SaywhereError, match="no map"):
            model.relevance(model.encode(torch.rand(1, 3, 64, 64)), "dog")
        with pytest.raises(SaywhereError, match="learned, classifier"):
            Saywhere(relevance=("clip",))


class TestTrainingPhrases:
    def test_left_and_right_turn_over(self) -> None:
        assert mirrored("front left door") == "front right door"
        assert mirrored("dog on the right") == "dog on the left"

    def test_what_tells_a_box_from_others(self) -> None:
        small_left, large_right = (0.0, 0.0, 0.1, 0.1), (0.6, 0.0, 0.4, 0.4)
        assert qualifiers(small_left, [large_right]) == ["left", "smallest"]
        assert qualifiers(large_right, [small_left]) == ["right", "largest"]
        assert qualifiers(small_left, [small_left]) == []

    @given(st.integers(0, 200))
    def test_phrases_mean_one_or_say_that_they_do_not(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        box, other = (0.0, 0.0, 0.1, 0.1), (0.6, 0.0, 0.4, 0.4)
        phrase, alone = phrase_for("dog", box, [other], {"dog": ("puppy",)}, rng)
        assert alone == any(word in phrase for word in ("left", "smallest"))
        assert "dog" in phrase or "puppy" in phrase
        assert phrase_for("dog", box, [], {}, rng) == ("dog", True)

    @given(st.integers(0, 200))
    def test_descriptions_keep_the_thing_and_put_no_other_before_it(self, seed: int) -> None:
        phrase = described("dog", ["red hat"], np.random.default_rng(seed))
        before, _, after = f"{phrase} ".partition("dog ")
        assert phrase != "dog"
        assert before.strip() in {"", *ADJECTIVES}
        assert not after or any(after.startswith(f"{relation} ") for relation in PREPOSITIONS)

    def test_crops_come_with_phrases_as_the_recipe_says(self, coco: Path) -> None:
        base = {"model": {"name": "saywhere"}, "data": [{"path": str(coco)}], "crop": {"size": 96}}

        def crops(**phrases: object) -> list[object]:
            recipe = Recipe.model_validate({**base, "phrases": phrases})
            drawn = CropDataset(recipe)
            return [drawn[i] for i in range(12)]

        assert all(c.prompt.phrase is None and c.supervision.target is None for c in crops())
        for crop in crops(phrase_prob=1.0, wrong_phrase_prob=0.0, phrase_only_prob=0.0):
            assert crop.prompt.phrase == "card"
            assert crop.prompt.clicks
            ((label, where),) = crop.supervision.regions
            assert label == "card"
            assert np.array_equal(where, crop.supervision.target)
        heard = [
            c.prompt.phrase
            for c in crops(phrase_prob=1.0, wrong_phrase_prob=0.0, phrase_only_prob=0.0, described_phrase_prob=1.0)
        ]
        assert all(p != "card" and "card" in p for p in heard)
        for crop in crops(phrase_prob=1.0, wrong_phrase_prob=0.0, phrase_only_prob=1.0):
            assert not crop.prompt.clicks
        for crop in crops(phrase_prob=1.0, wrong_phrase_prob=1.0):
            assert crop.prompt.phrase != "card"
            assert not crop.supervision.target.any()
            assert crop.prompt.clicks

    def test_labels_that_are_held_out_are_neither_drawn_nor_named(self, coco: Path) -> None:
        recipe = Recipe.model_validate(
            {"model": {"name": "saywhere"}, "data": [{"path": str(coco)}], "phrases": {"held_out": ["card"]}}
        )
        with pytest.raises(SaywhereError, match="no object"):
            CropDataset(recipe)


COLOURS = {"red": (220, 30, 20), "blue": (20, 40, 160)}


class SpeakingRuntime(ColourRuntime):
    """Finds what the phrase names by colour, and by the first click if nothing was said."""

    name = "speaking"
    capabilities = Capabilities(phrases=True, relevance=True, calibrated_relevance=True)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        if prompt.phrase is None:
            return super().decode(features, prompt, previous)
        return 16.0 * self.relevance(features, prompt.phrase) - 8.0

    def relevance(self, features: np.ndarray, phrase: str) -> np.ndarray:
        away = np.abs(features - np.array(COLOURS.get(phrase, (255, 255, 255)), np.float32)).max(2)
        return (away < 60).astype(np.float32)


@pytest.fixture
def speaking(photo: np.ndarray) -> Segmenter:
    return Segmenter(SpeakingRuntime()).set_image(photo)


class TestSegmenter:
    def test_a_phrase_comes_at_any_time_and_goes_again(self, photo: np.ndarray) -> None:
        speaking = Segmenter(SpeakingRuntime(), Settings(phrase_relevance_threshold=0.0)).set_image(photo)
        red = disc(480, 640, 300, 200, 40)
        first = speaking.say("red")
        assert np.mean(first.array == red) > 0.999
        clicked = speaking.click(300, 200)
        assert speaking.prompt == Prompt((Click(300, 200),), "red")
        changed = speaking.say("blue")
        assert np.mean(changed.array == ~red) > 0.99
        without = speaking.say(None)
        assert speaking.prompt == Prompt((Click(300, 200),))
        assert np.mean(without.array == red) > 0.999
        assert speaking.undo() is changed
        assert speaking.undo() is clicked
        assert speaking.undo() is first
        assert speaking.undo() is None
        assert speaking.redo() is first
        assert speaking.say(None) is None
        assert not speaking.prompt

    def test_a_phrase_that_does_not_fit_the_click_is_not_heeded(self, speaking: Segmenter) -> None:
        clicked = speaking.click(300, 200)
        answer = speaking.say("blue")
        assert answer is not None
        assert np.array_equal(answer.array, clicked.array)
        assert speaking.prompt.phrase == "blue"
        assert not speaking.fits("blue")
        assert speaking.fits("red")
        both = speaking.click(20, 20)  # now something blue is clicked as well
        assert both.array[300, 20]
        assert not both.array[200, 300]
        assert speaking.fits("blue")
        assert Segmenter(SpeakingRuntime()).set_image(speaking.encoded.image).fits("red")
        assert not Segmenter(SpeakingRuntime()).set_image(speaking.encoded.image).fits("green")

    def test_a_map_that_only_compares_places_takes_every_phrase_at_its_word(self, photo: np.ndarray) -> None:
        runtime = SpeakingRuntime()
        runtime.capabilities = replace(runtime.capabilities, calibrated_relevance=False)
        segmenter = Segmenter(runtime).set_image(photo)
        segmenter.click(300, 200)
        answer = segmenter.say("blue")
        assert answer is not None
        assert answer.array[10, 10]
        assert segmenter.fits("blue")

    def test_a_phrase_alone_may_mean_several_things_and_a_click_one(self) -> None:
        two = np.zeros((240, 320, 3), np.uint8)
        two[disc(240, 320, 80, 120, 30)] = two[disc(240, 320, 240, 120, 40)] = COLOURS["red"]
        speaking = Segmenter(SpeakingRuntime()).set_image(two)

        def found() -> list[bool]:
            assert speaking.mask is not None
            return [bool(speaking.mask.array[120, x]) for x in (80, 240)]

        speaking.say("red")
        assert found() == [True, True]
        speaking.click(10, 10, positive=False)
        assert found() == [True, True]
        assert speaking.propose("red").mask.array[120, [80, 240]].all()
        speaking.click(80, 120)
        assert found() == [True, False]

    def test_a_phrase_alone_proposes(self, speaking: Segmenter) -> None:
        proposal = speaking.propose("red")
        assert proposal.relevance.shape == (480, 640)
        assert proposal.relevance[200, 300] > 0.9 > 0.1 > proposal.relevance[10, 10]
        assert disc(480, 640, 300, 200, 40)[int(proposal.click.y), int(proposal.click.x)]
        assert np.mean(proposal.mask.array == disc(480, 640, 300, 200, 40)) > 0.999
        assert not speaking.prompt
        assert proposal.is_present
        nothing = speaking.propose("green")
        assert not nothing.is_present
        assert nothing.relevance[int(nothing.click.y), int(nothing.click.x)] < 0.1
        assert not nothing.mask.array.any()

    def test_a_negative_click_after_a_phrase_keeps_its_place(self, photo: np.ndarray) -> None:
        runtime = SpeakingRuntime()
        seen: list[Prompt] = []
        answer = runtime.decode
        runtime.decode = lambda features, prompt, previous: seen.append(prompt) or answer(features, prompt, previous)
        segmenter = Segmenter(runtime, Settings(zoom=False)).set_image(photo)
        segmenter.say("red")
        segmenter.click(20, 20, positive=False)
        assert segmenter.prompt == Prompt((Click(20, 20, False),), "red")
        assert [sum(c.positive for c in prompt.clicks) for prompt in seen] == [1, 1]

    def test_a_bad_phrase_changes_nothing(self, speaking: Segmenter, photo: np.ndarray) -> None:
        mask = speaking.click(300, 200)
        for phrase in ("", "zxqv", "🐶", "x" * 10_000):
            for ask in (speaking.say, speaking.relevance_map, speaking.propose):
                with pytest.raises(SaywhereError, match="phrase"):
                    ask(phrase)
        assert speaking.mask is mask
        mute = Segmenter(ColourRuntime()).set_image(photo)
        with pytest.raises(SaywhereError, match="understand no phrases"):
            mute.say("red")

    def test_a_network_without_a_map_still_answers_a_phrase(self, photo: np.ndarray) -> None:
        torch.manual_seed(0)
        model = Saywhere(widths=(16, 16, 16, 16), attention=True)
        segmenter = Segmenter(TorchRuntime(model, "mapless")).set_image(photo)
        assert segmenter.say("dog").array.shape == photo.shape[:2]
        with pytest.raises(SaywhereError, match="no map"):
            segmenter.relevance_map("dog")

    def test_predict_takes_text(self, speaking: Segmenter) -> None:
        masks, _, _ = speaking.predict(text="red")
        assert masks[0][200, 300]
        assert not masks[0][10, 10]


class VagueRunner(DiscRuntime):
    """Understands phrases and makes nothing of them."""

    capabilities = Capabilities(phrases=True)

    def relevance(self, features: np.ndarray, phrase: str) -> np.ndarray:
        return np.zeros(features.shape[:2], np.float32)


class TestBench:
    def test_the_phrase_is_an_interaction_after_the_first_click(self, coco: Path) -> None:
        samples = with_phrases(load_dataset(str(coco)), PhraseMode.OWN)
        assert {s.phrase for s in samples} == {"card"}
        timed = TimedRuntime(VagueRunner())
        some = list(segment_object(RobotUser(4, phrase_at=PhraseMode.OWN.at), Segmenter(timed), timed, samples[0]))
        assert [i.phrase for i in some][:2] == [None, "card"]
        assert some[1].click is None
        assert all(i.phrase is None for i in some[2:])
        assert prompt_of(some).phrase == "card"
        timed = TimedRuntime(VagueRunner())
        again = list(segment_object(RobotUser(4, phrase_at=1), Segmenter(timed), timed, samples[0], some[:2]))
        assert [replace(i, ms=0, encode_ms=0, decode_ms=0) for i in again] == [
            replace(i, ms=0, encode_ms=0, decode_ms=0) for i in some[2:]
        ]

    def test_it_can_describe_the_thing_without_telling_more(self, coco: Path) -> None:
        samples = load_dataset(str(coco))
        described = [s.phrase or "" for s in with_phrases(samples, PhraseMode.DESCRIBED)]
        assert described == [s.phrase for s in with_phrases(samples, PhraseMode.DESCRIBED)]
        for phrase, own in zip(described, with_phrases(samples, PhraseMode.OWN), strict=True):
            assert own.phrase is not None
            assert own.phrase in phrase
            assert phrase != own.phrase
        trained = {*ADJECTIVES, *CONTEXT_NOUNS}
        assert not trained & set(robots.QUALITIES)
        assert not trained & {phrase.split()[-1] for phrase in robots.CONTEXTS}

    def test_phrase_first(self, coco: Path) -> None:
        samples = with_phrases(load_dataset(str(coco)), PhraseMode.FIRST)
        timed = TimedRuntime(VagueRunner())
        some = list(segment_object(RobotUser(3, phrase_at=PhraseMode.FIRST.at), Segmenter(timed), timed, samples[0]))
        assert some[0].phrase == "card"
        assert some[1].click is not None

    def test_a_wrong_phrase_is_of_another_label_and_photograph(self) -> None:
        def sample(name: str, photo: str, label: str) -> Sample:
            return Sample(name, Path(photo), lambda: np.ones((2, 2), bool), label=label)

        some = [sample("1", "a", "dog"), sample("2", "a", "cat"), sample("3", "b", "dog"), sample("4", "b", "car")]
        for told, own in zip(with_phrases(some, PhraseMode.WRONG), some, strict=True):
            assert told.phrase not in {s.label for s in some if s.image_path == own.image_path}
        with pytest.raises(SaywhereError, match="only one"):
            with_phrases(some[:1], PhraseMode.WRONG)
        with pytest.raises(SaywhereError, match="no phrase or label"):
            with_phrases([replace(some[0], label=None)], PhraseMode.OWN)

    def test_an_unknown_phrase_costs_an_interaction_and_no_more(self, coco: Path) -> None:
        (sample, *_) = load_dataset(str(coco))
        timed = TimedRuntime(VagueRunner())
        some = list(segment_object(RobotUser(3, phrase_at=1), Segmenter(timed), timed, replace(sample, phrase="zxqv")))
        assert [i.phrase for i in some] == [None, "zxqv", None]
        assert some[1].mask == some[0].mask

    def test_a_run_says_what_was_said(self, coco: Path, tmp_path: Path) -> None:
        task = Task("test_phrases:VagueRunner", str(coco), max_interactions=3, phrase=PhraseMode.OWN)
        told = bench(task, tmp_path / "own.json")
        assert told["phrase"] == "own"
        for some in read_records(tmp_path / "own.jsonl").values():
            assert [i.phrase for i in some] == [None, "card", None]
        again = bench(task, tmp_path / "own.json")
        assert again["ious"] == told["ious"]
        with pytest.raises(SaywhereError, match="differs in phrase"):
            bench(replace(task, phrase=None), tmp_path / "own.json")
        with pytest.raises(SaywhereError, match="understands no phrases"):
            bench(replace(task, method="conftest:DiscRuntime"), tmp_path / "mute.json")
