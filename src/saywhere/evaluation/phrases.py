"""What the robot says of an object, and when."""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum
from pathlib import Path

from saywhere.data.datasets import Sample
from saywhere.errors import SaywhereError
from saywhere.text.words import label_words

# What a person may add to a name. Training (training/phrases.py) draws other qualities and other things.
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
ELSEWHERE = (
    "over the carpet", "inside a kitchen", "close to the lamp", "carrying a stick", "facing the mountain",
    "below a bridge", "beyond the curtain", "covered by a blanket", "from the market", "opposite the door", "at night",
    "next to a big bell", "near the kettle",
)  # fmt: skip


class PhraseMode(StrEnum):
    """``own``: the object's phrase right after the first click (the protocol). ``first``: before any click. ``wrong``:
    the label of something that the photograph is not known to show, right after the first click. ``described``: the
    object's phrase among words that tell nothing, as in "golden dog near the kettle", right after the first click."""

    OWN = "own"
    FIRST = "first"
    WRONG = "wrong"
    DESCRIBED = "described"

    @property
    def at(self) -> int:
        """How many interactions come before the phrase."""
        return 0 if self is PhraseMode.FIRST else 1


def with_phrases(samples: Sequence[Sample], saying: PhraseMode) -> list[Sample]:
    """The samples with what the robot will say: a data set's own phrase, else its label in words.

    Raises SaywhereError, naming the object, when it has neither.
    """
    told = [replace(sample, phrase=own_phrase(sample)) for sample in samples]
    if saying is PhraseMode.WRONG:
        return wrongly(told)
    return [replace(s, phrase=described(s)) for s in told] if saying is PhraseMode.DESCRIBED else told


def own_phrase(sample: Sample) -> str:
    phrase = sample.phrase or label_words(sample.label or "")
    if not phrase:
        raise SaywhereError(f"object '{sample.name}': the data set has no phrase or label for it; leave --phrase out")
    return phrase


def described(sample: Sample) -> str:
    """An object's phrase with a quality before it, something else after it, or both; the same for the same object."""
    draw = zlib.crc32(f"{sample.photo.name} {sample.name}".encode())
    quality, thing = QUALITIES[draw % len(QUALITIES)], ELSEWHERE[draw // 7 % len(ELSEWHERE)]
    return (f"{quality} {sample.phrase}", f"{sample.phrase} {thing}", f"{quality} {sample.phrase} {thing}")[draw % 3]


def wrongly(samples: Sequence[Sample]) -> list[Sample]:
    """Each sample with the phrase of a later one whose label its photograph is not known to show."""
    shown: dict[Path, set[str | None]] = defaultdict(set)
    for sample in samples:
        shown[sample.photo].add(sample.label or sample.phrase)
    count = len(samples)
    answer = []
    for i, sample in enumerate(samples):
        # Neighbours in a data set are often alike, so the search starts halfway through it.
        others = (samples[(i + count // 2 + step) % count] for step in range(count))
        other = next((o for o in others if (o.label or o.phrase) not in shown[sample.photo]), None)
        if other is None:
            raise SaywhereError(f"object '{sample.name}': no other label to say wrongly; the data set has only one")
        answer.append(replace(sample, phrase=other.phrase))
    return answer
