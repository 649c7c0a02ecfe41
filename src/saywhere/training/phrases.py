"""Phrases of training samples: labels, synonyms, words that tell an object from others of its label, wrong labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set

import numpy as np

from saywhere.core.prompt import MIRRORED, mirrored
from saywhere.text.words import Words, shipped_words

Box = tuple[float, float, float, float]  # x, y, width, height
# What people add to the name of a thing, and what does not change which thing is meant.
ADJECTIVES = (
    "red", "blue", "green", "yellow", "white", "black", "brown", "grey", "orange", "pink", "dark", "light", "bright",
    "striped", "spotted", "small", "little", "big", "large", "tall", "long", "round", "old", "young", "new",
    "beautiful", "wooden", "metal", "stone", "standing", "sitting", "running", "whole", "single", "fluffy",
    "shiny", "dirty",
)  # fmt: skip
PREPOSITIONS = (
    "with", "in", "on", "near", "beside", "next to", "behind", "in front of", "under", "by", "holding", "wearing",
    "and", "of", "against", "above", "at", "among",
)  # fmt: skip
CONTEXT_NOUNS = (
    "grass", "wall", "table", "water", "sky", "street", "snow", "tree", "trees", "flowers", "leaves", "sand", "floor",
    "house", "window", "field", "garden", "sea", "rocks", "shirt", "hat", "dress", "jacket", "basket", "rope", "road",
    "branch", "bush", "fence", "crowd", "background", "sun", "hand", "hands", "beard", "cloth", "box", "sofa", "room",
)  # fmt: skip
MIN_OFFSET = 0.15  # of the crop's side: how much further left or right than the others "left" and "right" ask for
MIN_AREA_RATIO = 1.5  # of areas, for "largest" and "smallest"
SYNONYM_PROB, BEHIND_PROB = 0.3, 0.4


def phrase_for(
    label: str,
    box: Box,
    same_label: Sequence[Box],
    synonyms: Mapping[str, Sequence[str]],
    rng: np.random.Generator,
    qualifier_prob: float = 0.5,
) -> tuple[str, bool]:
    """A phrase for an object. Where there are others of its label, some of the phrases tell it from these.

    Args:
        label: its label in words.
        box: its box, in shares of the crop's sides.
        same_label: the boxes of the image's other objects of that label.
        synonyms: other words for labels.
        rng: decides.
        qualifier_prob: how many of the phrases that could tell it from the others do.

    Returns:
        The phrase, and whether it means this object alone.
    """
    others = synonyms.get(label, ())
    noun = others[int(rng.integers(len(others)))] if others and rng.random() < SYNONYM_PROB else label
    if not same_label:
        return noun, True
    words = qualifiers(box, same_label)
    if words and rng.random() < qualifier_prob:
        word = words[int(rng.integers(len(words)))]
        behind = word in MIRRORED and rng.random() < BEHIND_PROB
        return (f"{noun} on the {word}" if behind else f"{word} {noun}"), True
    return noun, False


def qualifiers(box: Box, others: Sequence[Box]) -> list[str]:
    """Which of left, right, largest, smallest tell a box from all others; boxes are in shares of the crop's sides."""
    centre = box[0] + box[2] / 2.0
    centres = [x + w / 2.0 for x, _, w, _ in others]
    area, areas = box[2] * box[3], [w * h for _, _, w, h in others]
    words = {
        "left": centre < min(centres) - MIN_OFFSET,
        "right": centre > max(centres) + MIN_OFFSET,
        "largest": area > MIN_AREA_RATIO * max(areas),
        "smallest": area * MIN_AREA_RATIO < min(areas),
    }
    return [word for word, applies in words.items() if applies]


def described(phrase: str, beside: Sequence[str], rng: np.random.Generator) -> str:
    """A phrase with words that do not change what it means: an adjective before it, a context after it, or both.

    Adjectives are random, so that the network learns to rely on the noun. Half of the contexts name another object of
    the image: "person with a hat" is not the hat.

    Args:
        phrase: the phrase.
        beside: the labels of the other objects of the image.
        rng: decides.
    """
    kind = rng.random()
    if kind < 0.65:
        phrase = f"{_choice(ADJECTIVES, rng)} {phrase}"
    if kind >= 0.4:
        thing = _choice(beside if beside and rng.random() < 0.5 else CONTEXT_NOUNS, rng)
        adjective = f"{_choice(ADJECTIVES, rng)} " if rng.random() < 0.4 else ""
        phrase = f"{phrase} {_choice(PREPOSITIONS, rng)} {adjective}{thing}"
    return phrase


def wrong_phrase(label: str, present: Set[str], labels: Sequence[str], rng: np.random.Generator) -> str:
    """A label that does not apply to an object: half of the time of something else in the image.

    Args:
        label: the object's own.
        present: the labels of the image's other objects.
        labels: all labels of the training data.
        rng: decides.
    """
    beside = present - {label, ""}
    absent = [other for other in labels if other != label and other not in beside]
    choice = sorted(beside) if beside and rng.random() < 0.5 else absent
    return choice[int(rng.integers(len(choice)))] if choice else "thing"


def label_vectors(labels: Sequence[str], words: Words | None = None) -> Words:
    """Labels as single vectors: a table whose words are whole labels. Labels without a known word are left out."""
    words = words or shipped_words()
    known = [label for label in labels if words.phrase_vector(label).any()]
    # Left and right of a label are swapped when an image is mirrored.
    known = sorted({*known, *map(mirrored, known)}) or ["thing"]
    return Words(known, np.stack([words.phrase_vector(label) for label in known]))


def _choice(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
