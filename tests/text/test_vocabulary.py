"""Names of ImageNet's classes, and which phrases weights can know."""

from __future__ import annotations

from saywhere.text.class_names import imagenet_classes
from saywhere.text.vocabulary import Vocabulary
from saywhere.text.words import shipped_words


class TestClassNames:
    def test_there_are_a_thousand_with_names_whose_words_have_vectors(self) -> None:
        classes = imagenet_classes()
        assert len(classes.names) == len(classes.hypernyms) == 1000
        for phrases in (*classes.names, *classes.hypernyms):
            assert not any(shipped_words().find_rows(phrase)[1] for phrase in phrases)

    def test_a_hypernym_covers_its_classes(self) -> None:
        members = imagenet_classes().members
        assert set(members["retriever"]) < set(members["dog"]) < set(members["animal"])
        assert 207 in members["golden retriever"]


class TestVocabulary:
    vocabulary = Vocabulary(["fire truck", "dog", "front left door"], shipped_words())

    def test_words_of_the_training_and_their_plurals_are_known(self) -> None:
        for phrase in ("dog", "two dogs", "a door with a red handle", "TRUCK"):
            assert self.vocabulary.knows(phrase), phrase
        assert self.vocabulary.similarity("dog") > 0.999

    def test_the_first_words_of_a_name_do_not_make_others_known(self) -> None:
        assert not self.vocabulary.knows("fire")
        assert self.vocabulary.similarity("fire") < 0.999

    def test_near_words_are_known_and_far_ones_are_not(self) -> None:
        assert self.vocabulary.knows("puppy")
        assert not self.vocabulary.knows("castanets")

    def test_a_phrase_without_a_known_word_is_unknown(self) -> None:
        assert self.vocabulary.similarity("zxqv") == 0.0
        assert not Vocabulary(["zxqv"], shipped_words()).knows("dog")
