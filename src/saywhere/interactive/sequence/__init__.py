"""Sequences: related photographs annotated one after another, each finished mask a lesson for the next."""

from saywhere.interactive.sequence.options import PUBLISHED, Options
from saywhere.interactive.sequence.sequence import Sequence

__all__ = ["PUBLISHED", "Options", "Sequence"]
