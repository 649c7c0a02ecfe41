"""Word vectors. No torch.

The shipped table holds common words and the names of ImageNet's classes; ``tools/distil_words.py`` generates it. A
word2vec or GloVe file can be used instead.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from io import BufferedReader
from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load

from saywhere.core.arrays import FloatArray
from saywhere.core.deprecation import renamed_methods
from saywhere.core.numbers import describe
from saywhere.errors import PhraseError, SaywhereError

SHIPPED_FILE = Path(__file__).parent / "words.safetensors"
MAX_CHARACTERS = 500  # of a phrase
MAX_WORDS = 16  # known words of a phrase that are used; later ones are ignored
WORD_PATTERN = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
# Endings of a word that is not in the table, and what replaces them before it is looked up again.
PLURAL_ENDINGS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""), ("'s", ""))


@renamed_methods(
    find="find_row", read="find_rows", of="phrase_vectors", mean="phrase_vector", checked="check_phrase", place="rows"
)
class Words:
    """A table of word vectors.

    Args:
        words: N words in lower case.
        vectors: ``(N, D)`` float32.

    Attributes:
        vectors: ``(N, D)`` float32.
        rows: the row of each word.

    Raises:
        SaywhereError: the numbers of words and vectors differ or are 0.

    Example:
        >>> words = Words(["dog", "tie"], np.array([[1.0, 0.0], [0.0, 1.0]], np.float32))
        >>> words.find_rows("two Dogs")
        ([0], ['two'])
    """

    def __init__(self, words: Sequence[str], vectors: FloatArray) -> None:
        if vectors.ndim != 2 or len(words) != len(vectors) or not len(words):
            raise SaywhereError(f"word vectors: {len(words)} words and vectors of shape {vectors.shape}: give (N, D)")
        self.vectors = vectors
        self.rows = {word: row for row, word in enumerate(words)}

    @property
    def dimensions(self) -> int:
        """D, the length of a vector."""
        return self.vectors.shape[1]

    def find_row(self, word: str) -> int | None:
        """The row of a word or of its singular.

        Args:
            word: in lower case.

        Returns:
            The row; None when the table has neither.
        """
        if word in self.rows:
            return self.rows[word]
        for ending, replacement in PLURAL_ENDINGS:
            stem = word.removesuffix(ending) + replacement
            if word.endswith(ending) and len(stem) > 1 and stem in self.rows:
                return self.rows[stem]
        return None

    def find_rows(self, phrase: str) -> tuple[list[int], list[str]]:
        """The rows of a phrase's known words.

        Case, accents and punctuation do not matter. A word with hyphens counts as one if the table has it, else as its
        parts.

        Args:
            phrase: any text.

        Returns:
            The rows in the order of the words, at most :data:`MAX_WORDS`; and the words that are not known.
        """
        rows: list[int] = []
        unknown: list[str] = []
        for word in WORD_PATTERN.findall(normalise(phrase)):
            joined = self.find_row(word.replace("-", ""))
            parts = [word] if joined is not None or "-" not in word else word.split("-")
            for part in parts:
                row = self.find_row(part.replace("-", ""))
                if row is None:
                    unknown.append(part)
                else:
                    rows.append(row)
        return rows[:MAX_WORDS], unknown

    def phrase_vectors(self, phrase: str | None) -> FloatArray:
        """The vectors of a phrase's known words.

        Returns:
            ``(n, D)``; n is 0 without a known word.
        """
        rows = self.find_rows(phrase)[0] if phrase else []
        return self.vectors[rows]

    def phrase_vector(self, phrase: str | None) -> FloatArray:
        """The mean vector of a phrase's known words.

        Returns:
            ``(D,)`` of length 1; zeros without a known word.
        """
        vectors = self.phrase_vectors(phrase)
        if not len(vectors):
            return np.zeros(self.dimensions, np.float32)
        mean = vectors.mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), np.float32)

    def check_phrase(self, phrase: str) -> str:
        """Check that a phrase can be used.

        Args:
            phrase: what the user typed.

        Returns:
            The phrase without surrounding space.

        Raises:
            PhraseError: it is no text, is empty, is too long, or has no known word.
        """
        if not isinstance(phrase, str):
            raise PhraseError(f"phrase {describe(phrase)}: give text, for example 'dog'")
        phrase = phrase.strip()
        if not phrase:
            raise PhraseError("phrase: it is empty; say what the object is, for example 'dog', or leave it out")
        if len(phrase) > MAX_CHARACTERS:
            raise PhraseError(f"phrase of {len(phrase):,} characters: give at most {MAX_CHARACTERS}")
        rows, unknown = self.find_rows(phrase)
        if not rows:
            listed = f"of {', '.join(repr(word) for word in unknown[:5])} " if unknown else "in it "
            raise PhraseError(
                f"phrase {phrase[:60]!r}: nothing {listed}is a known English word; use another word, or only clicks"
            )
        return phrase


def label_words(label: str) -> str:
    """A data set's label as a phrase.

    Example:
        >>> label_words("strawberry40")
        'strawberry'
        >>> label_words("single-use bag")
        'single-use bag'
    """
    return " ".join(re.sub(r"[\d_]+", " ", label).split())


def normalise(text: str) -> str:
    """A text in lower case without accents; other forms of a letter (NFKD) become the letter.

    Example:
        >>> normalise("Caf\u00e9")
        'cafe'
    """
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in decomposed if not unicodedata.combining(c))


def load_words(path: str | None) -> Words:
    """The words of a file, or the shipped ones if None; errors as for :func:`read_words`."""
    if path is not None and not isinstance(path, str):
        raise SaywhereError(f"word vectors {describe(path)}: give the path of a file")
    return shipped_words() if path is None else read_words(Path(path))


@cache
def shipped_words() -> Words:
    """The table that is part of the package."""
    return read_words(SHIPPED_FILE)


def read_words(path: Path, keep: Iterable[str] | None = None) -> Words:
    """Read word vectors from a file.

    Args:
        path: a file like the shipped one (its name ends in ``.safetensors``), or a word2vec (text or binary) or GloVe
            file, whose format is recognised by its content.
        keep: the only words to read, which saves memory with a large file; None reads all.

    Raises:
        SaywhereError: the file is missing or has none of these formats.
    """
    if not path.is_file():
        raise SaywhereError(f"word vectors '{path}': no such file")
    selected = None if keep is None else {normalise(word) for word in keep}
    if path.suffix == ".safetensors":
        return _read_shipped(path, selected)
    return _read_vectors(path, selected)


def _read_shipped(path: Path, selected: set[str] | None) -> Words:
    try:
        tensors = load(path.read_bytes())
        words = tensors["words"].tobytes().decode("ascii").split("\n")
        vectors = tensors["vectors"].astype(np.float32) * tensors["scale"].astype(np.float32)[:, None]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise SaywhereError(f"word vectors '{path}': not a table of word vectors, or cut short ({error})") from error
    if selected is None:
        return Words(words, vectors)
    rows = [i for i, word in enumerate(words) if word in selected]
    return Words([words[i] for i in rows], vectors[rows])


def _read_vectors(path: Path, selected: set[str] | None) -> Words:
    words: list[str] = []
    vectors: list[FloatArray] = []
    with path.open("rb") as file:
        first = file.readline()
        header = first.split()
        has_header = len(header) == 2 and all(part.isdigit() for part in header)  # word2vec: words and dimensions
        binary = has_header and not _is_text_entry(file.peek(4096))
        if not has_header:
            file.seek(0)
        dimensions = int(header[1]) if has_header else len(first.rsplit()) - 1
        number = int(has_header)
        while True:
            number += 1
            entry = _binary_entry(file, dimensions) if binary else _text_entry(file.readline(), dimensions)
            if entry is None:
                break
            word, values = entry
            if not dimensions or values is None or values.shape != (dimensions,) or not np.isfinite(values).all():
                raise SaywhereError(
                    f"word vectors '{path}': entry {number} ({word[:20]!r}) is not a word and {dimensions} numbers; "
                    "give a word2vec or GloVe file"
                )
            word = normalise(word)
            if word and (selected is None or word in selected):
                words.append(word)
                vectors.append(values)
    if not words:
        raise SaywhereError(f"word vectors '{path}': it has no words; give a word2vec or GloVe file")
    # These files are sorted by frequency: of words that differ only in case, the first is the most frequent one.
    first_rows: dict[str, int] = {}
    for row, word in enumerate(words):
        first_rows.setdefault(word, row)
    return Words(list(first_rows), np.stack([vectors[row] for row in first_rows.values()]))


def _is_text_entry(start: bytes) -> bool:
    """Whether the bytes after a header start with a line of a word and numbers."""
    line = start.split(b"\n", 1)[0].split()
    try:
        [float(part) for part in line[1:]]
    except ValueError:
        return False
    return len(line) > 1


def _text_entry(line: bytes, dimensions: int) -> tuple[str, FloatArray | None] | None:
    """A line's word and vector; no vector where the rest is not numbers; None at the end of the file."""
    if not line.strip():
        return None
    word, *rest = line.decode("utf-8", "replace").rstrip().split(" ")
    # Some GloVe files have words with spaces.
    extra = len(rest) - dimensions
    if extra > 0:
        word, rest = " ".join([word, *rest[:extra]]), rest[extra:]
    try:
        return word, np.array([float(part) for part in rest], np.float32)
    except ValueError:
        return word, None


def _binary_entry(file: BufferedReader, dimensions: int) -> tuple[str, FloatArray | None] | None:
    """The next word and vector of a binary file; no vector where the file is cut short; None at its end."""
    word = bytearray()
    while (letter := file.read(1)) and letter != b" ":
        if letter != b"\n":
            word += letter
    if not letter and not word:
        return None
    values = file.read(4 * dimensions)
    if len(values) < 4 * dimensions:
        return word.decode("utf-8", "replace"), None
    return word.decode("utf-8", "replace"), np.frombuffer(values, "<f4").astype(np.float32)
