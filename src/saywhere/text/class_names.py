"""Names of ImageNet's 1,000 classes, with their hypernyms. No torch.

``tools/class_names.py`` takes them from WordNet 3.0, whose licence stands in the file.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path

FILE = Path(__file__).parent / "imagenet-classes.tsv"


@dataclass(frozen=True)
class ClassNames:
    """The classes in the order of their indices.

    Attributes:
        names: the names of each class, the most usual one first.
        hypernyms: what each class is a kind of, from near to far; may be empty.
    """

    names: tuple[tuple[str, ...], ...]
    hypernyms: tuple[tuple[str, ...], ...]

    @cached_property
    def members(self) -> Mapping[str, tuple[int, ...]]:
        """The classes that each name or hypernym covers.

        Example:
            >>> len(imagenet_classes().members["dog"]) > 100
            True
        """
        members: dict[str, list[int]] = defaultdict(list)
        for index, phrases in enumerate(zip(self.names, self.hypernyms, strict=True)):
            for phrase in dict.fromkeys((*phrases[0], *phrases[1])):
                members[phrase].append(index)
        return {phrase: tuple(indices) for phrase, indices in members.items()}


@cache
def imagenet_classes() -> ClassNames:
    """The classes that ship with the package.

    Example:
        >>> classes = imagenet_classes()
        >>> classes.names[207], classes.hypernyms[207][:2]
        (('golden retriever',), ('retriever', 'sporting dog'))
    """
    lines = FILE.read_text("ascii").splitlines()
    fields = [line.split("\t") for line in lines if not line.startswith("#")]
    names, hypernyms = ([_phrases(field[column]) for field in fields] for column in (1, 2))
    return ClassNames(tuple(names), tuple(hypernyms))


def _phrases(field: str) -> tuple[str, ...]:
    return tuple(phrase for phrase in field.split("|") if phrase)
