"""Words as vectors. No torch.

The shipped table (``tools/distil_words.py`` makes it) holds common words and things that ImageNet names; a
word2vec or GloVe file of one's own can be read instead.
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
from saywhere.errors import PhraseError, SaywhereError

SHIPPED = Path(__file__).parent / "words.safetensors"
LONGEST = 500  # characters of a phrase
MOST = 16  # known words of a phrase that are read; what is said after them is not
LETTERS = re.compile(r"[^\W\d_]+(?:['\u2019-][^\W\d_]+)*")
# A word that is not in the table is looked up without its ending.
ENDINGS = (("ies", "y"), ("ves", "f"), ("ves", "fe"), ("es", ""), ("s", ""), ("'s", ""))


class Words:
    """A table of vectors, ``(N, D)`` float32, one for each of N words in lower case."""

    def __init__(self, words: Sequence[str], vectors: FloatArray) -> None:
        """Raises SaywhereError when words and vectors do not belong together."""
        if vectors.ndim != 2 or len(words) != len(vectors) or not len(words):
            raise SaywhereError(f"word vectors: {len(words)} words and vectors of shape {vectors.shape}: give (N, D)")
        self.vectors = vectors
        self.place = {word: i for i, word in enumerate(words)}

    @property
    def dimensions(self) -> int:
        return self.vectors.shape[1]

    def find(self, word: str) -> int | None:
        """The row of a word in lower case, or of its singular; None when neither is known."""
        if word in self.place:
            return self.place[word]
        for ending, instead in ENDINGS:
            stem = word.removesuffix(ending) + instead
            if word.endswith(ending) and len(stem) > 1 and stem in self.place:
                return self.place[stem]
        return None

    def read(self, phrase: str) -> tuple[list[int], list[str]]:
        """The rows of a phrase's known words in their order, at most :data:`MOST`, and the words not known.

        Case, accents and punctuation do not matter. A word with hyphens counts as one where the table has it, else
        as its parts.
        """
        rows: list[int] = []
        unknown: list[str] = []
        for word in LETTERS.findall(plain(phrase)):
            whole = self.find(word.replace("-", ""))
            parts = [word] if whole is not None or "-" not in word else word.split("-")
            for part in parts:
                row = self.find(part.replace("-", ""))
                if row is None:
                    unknown.append(part)
                else:
                    rows.append(row)
        return rows[:MOST], unknown

    def of(self, phrase: str | None) -> FloatArray:
        """The vectors of a phrase's known words: ``(n, D)``; n is 0 when there is none."""
        rows = self.read(phrase)[0] if phrase else []
        return self.vectors[rows]

    def mean(self, phrase: str | None) -> FloatArray:
        """The phrase as one vector ``(D,)`` of length 1; zeros when nothing in it is known."""
        vectors = self.of(phrase)
        if not len(vectors):
            return np.zeros(self.dimensions, np.float32)
        mean = vectors.mean(axis=0)
        return np.asarray(mean / max(float(np.linalg.norm(mean)), 1e-6), np.float32)

    def checked(self, phrase: str) -> str:
        """The phrase without surrounding space.

        Raises PhraseError, saying why, when it is empty, too long, or nothing in it is known.
        """
        phrase = phrase.strip()
        if not phrase:
            raise PhraseError("phrase: it is empty; say what the object is, for example 'dog', or leave it out")
        if len(phrase) > LONGEST:
            raise PhraseError(f"phrase of {len(phrase):,} characters: give at most {LONGEST}, a few words do best")
        rows, unknown = self.read(phrase)
        if not rows:
            named = f"of {', '.join(repr(w) for w in unknown[:5])} " if unknown else "in it "
            raise PhraseError(
                f"phrase {phrase[:60]!r}: nothing {named}is a known English word; use another word, or only clicks"
            )
        return phrase


def label_words(label: str) -> str:
    """A data set's label as a person would say it: ``strawberry40`` is a strawberry, ``single-use bag`` stays."""
    return " ".join(re.sub(r"[\d_]+", " ", label).split())


def plain(text: str) -> str:
    """Lower case, without accents; letters that only look different become the same."""
    split = unicodedata.normalize("NFKD", text).casefold()
    return "".join(c for c in split if not unicodedata.combining(c))


def find_words(path: str | None) -> Words:
    """The words of a file, or the shipped ones if None; see :func:`read_words`."""
    return shipped() if path is None else read_words(Path(path))


@cache
def shipped() -> Words:
    """The table that comes with the package."""
    return read_words(SHIPPED)


def read_words(path: Path, keep: Iterable[str] | None = None) -> Words:
    """Word vectors from a file: the shipped kind, word2vec (text or binary) or GloVe, told apart by what is in it.

    ``keep`` limits it to some words, so that a large file need not be held whole. Raises SaywhereError when the file
    is missing or is none of these.
    """
    if not path.is_file():
        raise SaywhereError(f"word vectors '{path}': no such file")
    wanted = None if keep is None else {plain(word) for word in keep}
    if path.suffix == ".safetensors":
        return _read_shipped(path, wanted)
    return _read_vectors(path, wanted)


def _read_shipped(path: Path, wanted: set[str] | None) -> Words:
    try:
        tensors = load(path.read_bytes())
        words = tensors["words"].tobytes().decode("ascii").split("\n")
        vectors = tensors["vectors"].astype(np.float32) * tensors["scale"].astype(np.float32)[:, None]
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise SaywhereError(f"word vectors '{path}': not a table of words, or cut short ({error})") from error
    if wanted is None:
        return Words(words, vectors)
    rows = [i for i, word in enumerate(words) if word in wanted]
    return Words([words[i] for i in rows], vectors[rows])


def _read_vectors(path: Path, wanted: set[str] | None) -> Words:
    words: list[str] = []
    vectors: list[FloatArray] = []
    with path.open("rb") as file:
        first = file.readline()
        header = first.split()
        counted = len(header) == 2 and all(part.isdigit() for part in header)
        binary = counted and not _is_line(file.peek(4096))
        if not counted:
            file.seek(0)
        expected = int(header[1]) if counted else len(first.rsplit()) - 1
        number = int(counted)
        while True:
            number += 1
            entry = _binary_entry(file, expected) if binary else _text_entry(file.readline(), expected)
            if entry is None:
                break
            word, values = entry
            if not expected or values is None or values.shape != (expected,) or not np.isfinite(values).all():
                raise SaywhereError(
                    f"word vectors '{path}': entry {number} ({word[:20]!r}) is not a word and {expected} numbers; "
                    "give a word2vec or GloVe file"
                )
            word = plain(word)
            if word and (wanted is None or word in wanted):
                words.append(word)
                vectors.append(values)
    if not words:
        raise SaywhereError(f"word vectors '{path}': holds no words; give a word2vec or GloVe file")
    # The first of two that differ only in case is the more frequent one in these files.
    first_of: dict[str, int] = {}
    for i, word in enumerate(words):
        first_of.setdefault(word, i)
    return Words(list(first_of), np.stack([vectors[i] for i in first_of.values()]))


def _is_line(start: bytes) -> bool:
    """Whether what follows a header looks like a word and numbers in text."""
    line = start.split(b"\n", 1)[0].split()
    try:
        [float(part) for part in line[1:]]
    except ValueError:
        return False
    return len(line) > 1


def _text_entry(line: bytes, dimensions: int) -> tuple[str, FloatArray | None] | None:
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
