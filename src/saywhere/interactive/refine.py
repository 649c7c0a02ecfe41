"""Refinements of a mask after the network: a graph cut aligns it with the edges of the image, as in PhraseClick."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.graphcut import cut

SMOOTHNESS = 2.0  # weight of a boundary against the probabilities; PhraseClick does not give it
MAX_LOGIT = 8.0  # logits are clipped to this magnitude, so that the neighbours of any pixel can outweigh it
MIN_LOGIT = 0.5  # least magnitude after the cut


def graph_cut(image: ImageArray, logits: FloatArray, smoothness: float = SMOOTHNESS) -> FloatArray:
    """Refine logits by a minimum cut (Boykov and Jolly 2001), as PhraseClick does.

    A pixel costs ``-log p`` on the object and ``-log (1 - p)`` on the background. For the cost of a boundary see
    :func:`saywhere.core.graphcut.cut`.

    Args:
        image: ``(H, W, 3)`` RGB uint8, the input of the network.
        logits: ``(H, W)``.
        smoothness: weight of a boundary.

    Returns:
        ``(H, W)`` logits with the sign of the cut. Magnitudes do not change, but are at least :data:`MIN_LOGIT`.

    Raises:
        SaywhereError: SciPy is not installed; the extras "torch" and "bench" contain it.
    """
    bounded = np.clip(logits.astype(np.float64), -MAX_LOGIT, MAX_LOGIT)
    object_cost, background_cost = np.logaddexp(0.0, -bounded), np.logaddexp(0.0, bounded)
    # Clicks are no seeds here: they have already influenced the logits.
    inside = cut(image, object_cost, background_cost, smoothness=smoothness)
    magnitude = np.maximum(np.abs(logits), np.float32(MIN_LOGIT))
    return np.where(inside, magnitude, -magnitude).astype(np.float32)


REFINEMENTS: Final[Mapping[str, Callable[[ImageArray, FloatArray], FloatArray]]] = {"graph-cut": graph_cut}
"""Functions of an image ``(H, W, 3)`` and the network's logits ``(H, W)`` that return refined logits, by name."""
