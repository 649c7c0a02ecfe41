"""Notes of what a conversion alters: many say the same of several images."""

from __future__ import annotations

import re
from collections.abc import Sequence


def group_notes(notes: Sequence[str]) -> list[str]:
    """Notes to show: of those that say the same of several images, the first and how many more there are.

    Args:
        notes: in plain words; what they are about (``photograph 'a.png'``, ``image 1``) is before the first colon and
            space.
    """
    groups: dict[str, list[str]] = {}
    for note in notes:
        about, separator, rest = note.partition(": ")
        # Numbers and quoted names differ where two notes say the same.
        kind = re.sub(r"'[^']*'|\d+", "", rest if separator else about)
        groups.setdefault(kind, []).append(note)
    return [
        f"{some[0]} (and {len(some) - 1:,} notes like it)" if len(some) > 1 else some[0] for some in groups.values()
    ]
