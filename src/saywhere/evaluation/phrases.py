"""The phrases that the robot user gives, and when."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

import numpy as np

from saywhere.data.datasets import Sample
from saywhere.errors import SaywhereError
from saywhere.text.words import label_words

SHUFFLE_SEED = 0
# What a person may add to a name. Training (training/phrases.py) draws other qualities and other surroundings.
QUALITIES = (
    "golden",
    "purple",
    "huge",
    "tiny",
    "wet",
    "sleeping",
    "ancient",
    "smooth",
    "colourful",
    "broken",
    "pretty",
)
CONTEXTS = (
    "over the carpet", "inside a kitchen", "close to the lamp", "carrying a stick", "facing the mountain",
    "below a bridge", "beyond the curtain", "covered by a blanket", "from the market", "opposite the door", "at night",
    "next to a big bell", "near the kettle",
)  # fmt: skip


class PhraseMode(StrEnum):
    """Which phrase the robot user gives, and when.

    ``own`` or ``later``: the object's phrase right after the first click (the protocol). ``first``: the same before any
    click. ``shuffled`` and ``shuffled-first``: their controls, in which the objects of the data set exchange their
    phrases. ``wrong``: the label of something that the image is not known to show, right after the first click.
    ``described``: the object's phrase with words that carry no information, as in "golden dog near the kettle", right
    after the first click.
    """

    OWN = "own"
    LATER = "later"
    FIRST = "first"
    SHUFFLED = "shuffled"
    SHUFFLED_FIRST = "shuffled-first"
    WRONG = "wrong"
    DESCRIBED = "described"

    @property
    def at(self) -> int:
        """How many interactions come before the phrase."""
        return 0 if self in (PhraseMode.FIRST, PhraseMode.SHUFFLED_FIRST) else 1


def with_phrases(samples: Sequence[Sample], mode: PhraseMode) -> list[Sample]:
    """The samples with the phrases that the robot user will give.

    Args:
        samples: the objects.
        mode: which phrase.

    Returns:
        The same objects; the phrase is the data set's own, or else the label in words, changed as ``mode`` says.

    Raises:
        SaywhereError: an object has neither phrase nor label, or there is no other phrase to choose from.
    """
    phrased = [replace(sample, phrase=own_phrase(sample)) for sample in samples]
    if mode is PhraseMode.WRONG:
        return with_wrong_phrases(phrased)
    if mode in (PhraseMode.SHUFFLED, PhraseMode.SHUFFLED_FIRST):
        return with_shuffled_phrases(phrased)
    return [replace(s, phrase=described(s)) for s in phrased] if mode is PhraseMode.DESCRIBED else phrased


def own_phrase(sample: Sample) -> str:
    """The phrase that a data set has for an object, or else its label in words.

    Raises:
        SaywhereError: it has neither.
    """
    phrase = sample.phrase or label_words(sample.label or "")
    if not phrase:
        raise SaywhereError(f"object '{sample.name}': the data set has no phrase or label for it; leave --phrase out")
    return phrase


def described(sample: Sample) -> str:
    """An object's phrase with a quality before it, a context after it, or both; the same for the same object."""
    draw = zlib.crc32(f"{sample.image_path.name} {sample.name}".encode())
    quality, context = QUALITIES[draw % len(QUALITIES)], CONTEXTS[draw // 7 % len(CONTEXTS)]
    before, after = f"{quality} {sample.phrase}", f"{sample.phrase} {context}"
    return (before, after, f"{before} {context}")[draw % 3]


def with_shuffled_phrases(samples: Sequence[Sample], seed: int = SHUFFLE_SEED) -> list[Sample]:
    """The same samples with their phrases exchanged at random: every phrase stays as frequent, and none keeps its own.

    Other than in :func:`with_wrong_phrases`, the phrase may name something else that the image shows.

    Args:
        samples: the objects, each with a phrase.
        seed: of the order.

    Raises:
        SaywhereError: more than half of the objects have the same phrase.
    """
    phrases, rng = [sample.phrase for sample in samples], np.random.default_rng(seed)
    given = [phrases[i] for i in rng.permutation(len(phrases))]
    for i, own in enumerate(phrases):
        if given[i] == own:
            others = [j for j, phrase in enumerate(phrases) if given[j] != own and phrase != own]
            if not others:
                raise SaywhereError(f"--phrase shuffled: more than half of the objects are '{own}'; use other data")
            j = others[int(rng.integers(len(others)))]
            given[i], given[j] = given[j], given[i]
    return [replace(sample, phrase=phrase) for sample, phrase in zip(samples, given, strict=True)]


def with_wrong_phrases(samples: Sequence[Sample]) -> list[Sample]:
    """Each sample with the phrase of a later one whose label its image is not known to show.

    Raises:
        SaywhereError: all objects have the same label.
    """
    shown: dict[Path, set[str | None]] = defaultdict(set)
    for sample in samples:
        shown[sample.image_path].add(sample.label or sample.phrase)
    count = len(samples)
    phrased = []
    for i, sample in enumerate(samples):
        # Neighbours in a data set are often alike, so the search starts halfway through it.
        others = (samples[(i + count // 2 + step) % count] for step in range(count))
        other = next((o for o in others if (o.label or o.phrase) not in shown[sample.image_path]), None)
        if other is None:
            raise SaywhereError(f"object '{sample.name}': no other label for a wrong phrase; the data set has only one")
        phrased.append(replace(sample, phrase=other.phrase))
    return phrased
