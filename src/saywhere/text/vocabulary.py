"""The phrases that weights were trained on, and how near others are to them. No torch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from saywhere.core.arrays import FloatArray
from saywhere.text.words import WORD_PATTERN, Words, normalise

KNOWN_FROM = 0.6  # cosine of a word to the nearest one of the training from which a phrase counts as known


class Vocabulary:
    """What a network can know of phrases: those of its training, and those near to them.

    A network learns nothing of a word that is far from all words of its training, so its relevance map is arbitrary.

    Args:
        phrases: those of the training.
        words: the word vectors.

    Example:
        >>> words = Words(["dog", "puppy", "castanets"], np.array([[1, 0], [0.9, 0.1], [0, 1]], np.float32))
        >>> vocabulary = Vocabulary(["dog"], words)
        >>> vocabulary.knows("a puppy"), vocabulary.knows("castanets")
        (True, False)
    """

    def __init__(self, phrases: Sequence[str], words: Words) -> None:
        self.words = words
        # In English the last word of a name says what a thing is: a fire truck is a truck and no fire.
        nouns = dict.fromkeys(found[-1] for phrase in phrases if (found := WORD_PATTERN.findall(normalise(phrase))))
        vectors = [words.phrase_vector(noun) for noun in nouns]
        nothing = np.zeros((1, words.dimensions), np.float32)
        self._vectors = np.stack([*nothing, *(vector for vector in vectors if vector.any())])

    def similarity(self, phrase: str) -> float:
        """The highest cosine of a word of the phrase to a noun of the training; 0 without a known word."""
        vectors: FloatArray = self.words.phrase_vectors(phrase)
        if not len(vectors):
            return 0.0
        lengths = np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
        return float((vectors / lengths @ self._vectors.T).max())

    def knows(self, phrase: str) -> bool:
        """Whether the network can be expected to know what the phrase means."""
        return self.similarity(phrase) >= KNOWN_FROM
