"""Word vectors: phrases with known and unknown words, the shipped table, and files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from saywhere import SaywhereError
from saywhere.text.words import MAX_CHARACTERS, MAX_WORDS, SHIPPED_FILE, Words, label_words, read_words, shipped_words

TABLE = {"dog": (1.0, 0.0), "tie": (0.0, 1.0), "knife": (0.6, 0.8), "cherry": (3.0, 4.0), "tshirt": (1.0, 1.0)}


@pytest.fixture
def words() -> Words:
    return Words(list(TABLE), np.array(list(TABLE.values()), np.float32))


class TestReading:
    @pytest.mark.parametrize(
        ("phrase", "expected"),
        [
            ("dog", ["dog"]),
            ("  The DOG, a dog!", ["dog", "dog"]),
            ("dogs", ["dog"]),
            ("dog's", ["dog"]),
            ("knives and cherries", ["knife", "cherry"]),
            ("T-shirt", ["tshirt"]),
            ("dog-tie", ["dog", "tie"]),
            ("dóg", ["dog"]),
            ("\uff44\uff4f\uff47", ["dog"]),
            ("dog123", ["dog"]),
        ],
    )
    def test_case_plural_accents_and_punctuation_do_not_matter(
        self, words: Words, phrase: str, expected: list[str]
    ) -> None:
        rows, _ = words.find_rows(phrase)
        assert [list(TABLE)[row] for row in rows] == expected

    def test_unknown_words_are_returned(self, words: Words) -> None:
        assert words.find_rows("красный dog of zxqv")[1] == ["красныи", "of", "zxqv"]

    def test_a_phrase_vector_is_the_mean_of_its_words_with_length_1(self, words: Words) -> None:
        assert np.allclose(words.phrase_vector("dog tie"), (0.5**0.5, 0.5**0.5))
        assert np.allclose(words.phrase_vector("cherry"), (0.6, 0.8))
        assert not words.phrase_vector("zxqv").any()
        assert not words.phrase_vector(None).any()
        assert words.phrase_vectors("zxqv").shape == (0, 2)

    def test_only_the_first_words_are_used(self, words: Words) -> None:
        assert len(words.phrase_vectors("dog " * 100)) == MAX_WORDS

    @pytest.mark.parametrize(
        ("phrase", "reason"),
        [
            ("", "empty"),
            (" \t\n", "empty"),
            ("dog " * 2500, "10,00|9,999"),
            ("🐶🐱", "nothing in it"),
            ("zxqv", "'zxqv'"),
            ("собака", "собака"),
        ],
    )
    def test_an_unusable_phrase_is_an_error_with_the_reason(self, words: Words, phrase: str, reason: str) -> None:
        with pytest.raises(SaywhereError, match=reason):
            words.check_phrase(phrase)

    def test_one_known_word_among_other_scripts_is_enough(self, words: Words) -> None:
        assert words.check_phrase(" красный dog 🐶 ") == "красный dog 🐶"

    @given(st.text(max_size=MAX_CHARACTERS + 20))
    def test_any_text_is_used_or_an_error(self, phrase: str) -> None:
        table = shipped_words()
        assert len(table.phrase_vectors(phrase)) <= MAX_WORDS
        assert np.isfinite(table.phrase_vector(phrase)).all()
        try:
            table.check_phrase(phrase)
        except SaywhereError:
            pass
        else:
            assert table.phrase_vector(phrase).any()

    @pytest.mark.parametrize(
        ("old", "new"),
        [("find", "find_row"), ("read", "find_rows"), ("of", "phrase_vectors"), ("mean", "phrase_vector"),
         ("checked", "check_phrase")],
    )  # fmt: skip
    def test_old_names_work_and_warn(self, words: Words, old: str, new: str) -> None:
        with pytest.warns(DeprecationWarning, match=rf"Words\.{old} is deprecated.*use Words\.{new}"):
            result = getattr(words, old)("dog")
        assert str(result) == str(getattr(words, new)("dog"))

    def test_labels_in_words(self) -> None:
        assert label_words("strawberry40") == "strawberry"
        assert label_words("front_left light") == "front left light"


class TestShippedTable:
    def test_it_is_small(self) -> None:
        assert SHIPPED_FILE.stat().st_size <= 4_000_000

    @pytest.mark.parametrize(
        ("phrase", "near", "far"),
        [("dog", "puppy", "car"), ("shoes", "sandals", "dog"), ("tyre", "wheel", "hair"), ("sofa", "couch", "apple")],
    )
    def test_words_of_similar_meaning_are_near(self, phrase: str, near: str, far: str) -> None:
        table = shipped_words()
        assert (
            table.phrase_vector(phrase) @ table.phrase_vector(near)
            > table.phrase_vector(phrase) @ table.phrase_vector(far) + 0.2
        )


class TestFiles:
    def test_glove_and_word2vec_text_and_binary_give_the_same(self, tmp_path: Path) -> None:
        lines = [f"{word} {x} {y}" for word, (x, y) in TABLE.items()]
        (tmp_path / "glove.txt").write_text("\n".join(lines) + "\n")
        (tmp_path / "w2v.txt").write_text(f"{len(TABLE)} 2\n" + "\n".join(lines) + "\n")
        packed = b"".join(w.encode() + b" " + struct.pack("<2f", *v) + b"\n" for w, v in TABLE.items())
        (tmp_path / "w2v.bin").write_bytes(f"{len(TABLE)} 2\n".encode() + packed)
        for name in ("glove.txt", "w2v.txt", "w2v.bin"):
            read = read_words(tmp_path / name)
            assert list(read.rows) == list(TABLE), name
            assert np.allclose(read.vectors, list(TABLE.values())), name

    def test_it_can_be_limited_to_some_words(self, tmp_path: Path) -> None:
        (tmp_path / "glove.txt").write_text("Dog 1 2\ncat 3 4\ndog 5 6\n")
        read = read_words(tmp_path / "glove.txt", keep=["DOG"])
        assert read.rows == {"dog": 0}
        assert read.vectors.tolist() == [[1.0, 2.0]]

    @pytest.mark.parametrize("content", ["dog 1 2\ncat 3\n", "dog one two\n", "", "dog 1 nan\n", "dog\n"])
    def test_a_file_of_another_format_is_an_error(self, tmp_path: Path, content: str) -> None:
        path = tmp_path / "vectors.txt"
        path.write_text(content)
        with pytest.raises(SaywhereError, match=r"vectors\.txt"):
            read_words(path)

    def test_a_damaged_table_is_an_error(self, tmp_path: Path) -> None:
        path = tmp_path / "cut.safetensors"
        path.write_bytes(SHIPPED_FILE.read_bytes()[:5000])
        with pytest.raises(SaywhereError, match="cut short"):
            read_words(path)
        with pytest.raises(SaywhereError, match="no such file"):
            read_words(tmp_path / "absent.txt")
