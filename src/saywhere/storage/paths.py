"""Questions about paths that a user gave, which may be no paths at all."""

from __future__ import annotations

from pathlib import Path


def is_file(path: Path) -> bool:
    """Whether a path is that of a file; False for what no path can be: a name too long, or with a NUL."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False
