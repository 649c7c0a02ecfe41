"""Sequences: related photographs annotated one after another, each finished mask a lesson for the next."""

from saywhere.sequence.options import PUBLISHED, Options
from saywhere.sequence.sequence import Sequence

__all__ = ["PUBLISHED", "Options", "Sequence"]
