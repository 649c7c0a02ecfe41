"""Phrases in the benchmark."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from conftest import DiscRuntime
from saywhere import SaywhereError, Segmenter
from saywhere.data.datasets import Sample, load_dataset
from saywhere.evaluation import phrases as robots
from saywhere.evaluation.benchmark import Task, bench
from saywhere.evaluation.evaluate import prompt_of, segment_object
from saywhere.evaluation.journal import read_records
from saywhere.evaluation.phrases import PhraseMode, with_phrases
from saywhere.evaluation.robot_user import RobotUser
from saywhere.runtime.base import Capabilities
from saywhere.runtime.timed import TimedRuntime
from saywhere.training.phrases import ADJECTIVES, CONTEXT_NOUNS


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
        task = Task("test_phrase_benchmark:IgnoringRuntime", str(coco), max_interactions=3, phrase=PhraseMode.OWN)
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
