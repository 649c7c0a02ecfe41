"""Phrases in training: of which words they are made, and which crops have them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saywhere import SaywhereError
from saywhere.core.prompt import mirrored
from saywhere.training.dataset import CropDataset
from saywhere.training.phrases import ADJECTIVES, PREPOSITIONS, described, phrase_for, qualifiers
from saywhere.training.recipe import Recipe


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
