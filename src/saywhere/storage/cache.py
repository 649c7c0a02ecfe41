"""Folders for what can be computed again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder(given: str | None, name: str) -> Path:
    """The folder where something of this name is kept.

    Args:
        given: the folder that the user names, if any.
        name: of the folder in the user's cache folder (``XDG_CACHE_HOME``, else ``~/.cache``) otherwise.
    """
    if given is not None:
        return Path(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "saywhere" / name
