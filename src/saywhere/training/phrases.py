"""Phrases for training objects: their labels, other words for them, and which of several is meant."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from saywhere.core.prompt import MIRRORED

Box = tuple[float, float, float, float]  # x, y, width, height
# What people add to the name of a thing, and what does not change which thing is meant.
QUALITIES = (
    "red", "blue", "green", "yellow", "white", "black", "brown", "grey", "orange", "pink", "dark", "light", "bright",
    "striped", "spotted", "small", "little", "big", "large", "tall", "long", "round", "old", "young", "new",
    "beautiful", "wooden", "metal", "stone", "standing", "sitting", "running", "whole", "single", "fluffy",
    "shiny", "dirty",
)  # fmt: skip
RELATIONS = (
    "with", "in", "on", "near", "beside", "next to", "behind", "in front of", "under", "by", "holding", "wearing",
    "and", "of", "against", "above", "at", "among",
)  # fmt: skip
SURROUNDINGS = (
    "grass", "wall", "table", "water", "sky", "street", "snow", "tree", "trees", "flowers", "leaves", "sand", "floor",
    "house", "window", "field", "garden", "sea", "rocks", "shirt", "hat", "dress", "jacket", "basket", "rope", "road",
    "branch", "bush", "fence", "crowd", "background", "sun", "hand", "hands", "beard", "cloth", "box", "sofa", "room",
)  # fmt: skip
APART = 0.15  # of the crop: how much further left, or larger, the object must be to be told from the others by it


def phrase_for(
    label: str, box: Box, likes: Sequence[Box], synonyms: Mapping[str, Sequence[str]], rng: np.random.Generator
) -> tuple[str, bool]:
    """A phrase for an object, and whether it means this one alone.

    ``label`` is in words; ``likes`` are the boxes of the photograph's other objects of that label. Where they leave a
    choice, half of the phrases say which is meant, by its place or size.
    """
    others = synonyms.get(label, ())
    noun = others[int(rng.integers(len(others)))] if others and rng.random() < 0.3 else label
    if not likes:
        return noun, True
    told = qualifiers(box, likes)
    if told and rng.random() < 0.5:
        word = told[int(rng.integers(len(told)))]
        behind = word in MIRRORED and rng.random() < 0.4
        return (f"{noun} on the {word}" if behind else f"{word} {noun}"), True
    return noun, False


def qualifiers(box: Box, likes: Sequence[Box]) -> list[str]:
    """Which of left, right, largest, smallest tell a box from all others; boxes are in shares of the crop."""
    centre = box[0] + box[2] / 2.0
    centres = [x + w / 2.0 for x, _, w, _ in likes]
    area, areas = box[2] * box[3], [w * h for _, _, w, h in likes]
    found = []
    if centre < min(centres) - APART:
        found.append("left")
    if centre > max(centres) + APART:
        found.append("right")
    if area > 1.5 * max(areas):
        found.append("largest")
    if area * 1.5 < min(areas):
        found.append("smallest")
    return found


def described(phrase: str, beside: Sequence[str], rng: np.random.Generator) -> str:
    """A phrase with words that leave its meaning: a quality before it, or what is about it after it, or both.

    Qualities are drawn by chance, so that the network learns to hear the noun; ``beside`` are the labels of the other
    objects of the photograph, which are named half of the time: "person with a hat" is not the hat.
    """
    kind = rng.random()
    if kind < 0.65:
        phrase = f"{_any_of(QUALITIES, rng)} {phrase}"
    if kind >= 0.4:
        thing = _any_of(beside if beside and rng.random() < 0.5 else SURROUNDINGS, rng)
        quality = f"{_any_of(QUALITIES, rng)} " if rng.random() < 0.4 else ""
        phrase = f"{phrase} {_any_of(RELATIONS, rng)} {quality}{thing}"
    return phrase


def _any_of(words: Sequence[str], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]
