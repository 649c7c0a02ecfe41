"""Sequences: related images are annotated one after another, and each accepted mask is a training example."""

from saywhere.interactive.sequence.options import PUBLISHED, PUBLISHED_SETTINGS, SequenceOptions
from saywhere.interactive.sequence.sequence import Sequence

__all__ = ["PUBLISHED", "PUBLISHED_SETTINGS", "Sequence", "SequenceOptions"]
