"""From a name to a Segmenter."""

from __future__ import annotations

from pathlib import Path

from saywhere.core.settings import Settings
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.weights import load_runtime


def load(weights: str | Path | None = None, device: str | None = None, settings: Settings | None = None) -> Segmenter:
    """A Segmenter ready for ``set_image``.

    ``weights`` is a path, a hub id ``owner/name``, or None for those that ship with the package;
    ``device`` is a torch device, chosen when None. Raises SaywhereError when the weights cannot be had.
    """
    return Segmenter(load_runtime(weights, device), settings)
