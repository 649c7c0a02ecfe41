"""Loading a Segmenter by name."""

from __future__ import annotations

from pathlib import Path

from saywhere.core.settings import Settings
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.weights import load_runtime


def load(weights: str | Path | None = None, device: str | None = None, settings: Settings | None = None) -> Segmenter:
    """A Segmenter ready for ``set_image``.

    Args:
        weights: a path, a shipped name, a hub id ``owner/name``, or None for those that ship with the package.
        device: a torch device such as "cuda", with which torch runs the network; the processor when None.
        settings: how to crop, decode and post-process.

    Raises:
        SaywhereError: the weights cannot be had, or nothing that is installed runs them.
    """
    return Segmenter(load_runtime(weights, device), settings)
