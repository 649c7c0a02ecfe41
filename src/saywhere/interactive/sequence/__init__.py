"""Sequences: related photographs annotated one after another, each finished mask an example for the next."""

from saywhere.interactive.sequence.options import PUBLISHED, SequenceOptions
from saywhere.interactive.sequence.sequence import Sequence

__all__ = ["PUBLISHED", "Sequence", "SequenceOptions"]
