"""Loading a Segmenter by name."""

from __future__ import annotations

from pathlib import Path

from saywhere.core.settings import Settings
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.registry import load_by_name


def load(weights: str | Path | None = None, device: str | None = None, settings: Settings | None = None) -> Segmenter:
    """A Segmenter ready for ``set_image``.

    Args:
        weights: a published network ("phraseclick", "textclick", "dctnet", "sequential", "multistage"), another shipped
            name, a path of a file or folder, a hub id ``owner/name``, a model of another project
            (``sam:ENCODER.onnx,DECODER.onnx``), or None for our own network.
        device: a torch device such as "cuda", with which torch runs the network; the processor when None.
        settings: how to crop, decode and post-process. A size that they leave out is the one at which the network was
            trained.

    Raises:
        SaywhereError: the weights cannot be had, nothing that is installed runs them, or their network cannot take the
            size.

    Example:
        >>> load().settings.size
        320
    """
    return Segmenter(load_by_name(weights, device), settings)
