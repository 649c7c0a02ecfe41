"""A network's mask aligned with the edges of the image by a graph cut, as PhraseClick does at the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import numpy as np

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.graphcut import cut

# Weight of a boundary between alike neighbours against the probabilities. The paper does not give it.
SMOOTHNESS = 2.0
MAX_LOGIT = 8.0  # logits are clipped to it, so that neighbours can outweigh any pixel
MIN_LOGIT = 0.5  # magnitude that every pixel has at least after the cut


def graph_cut(image: ImageArray, logits: FloatArray, smoothness: float = SMOOTHNESS) -> FloatArray:
    """Refine logits by the minimum cut of Boykov and Jolly (2001).

    A pixel costs ``-log p`` on the object and ``-log (1 - p)`` off it; a boundary between similar neighbours costs
    ``smoothness``.

    Args:
        image: ``(H, W, 3)`` RGB, as the network was given it.
        logits: ``(H, W)``.
        smoothness: weight of a boundary.

    Returns:
        ``(H, W)`` logits with the sign of the cut; magnitudes stay, and are at least :data:`MIN_LOGIT`.

    Raises:
        SaywhereError: SciPy is missing, which the extras "torch" and "bench" bring.
    """
    bounded = np.clip(logits.astype(np.float64), -MAX_LOGIT, MAX_LOGIT)
    on, off = np.logaddexp(0.0, -bounded), np.logaddexp(0.0, bounded)
    # No seeds: what was clicked is in the logits already.
    inside = cut(image, on, off, smoothness=smoothness)
    magnitude = np.maximum(np.abs(logits), np.float32(MIN_LOGIT))
    return np.where(inside, magnitude, -magnitude).astype(np.float32)


# Each takes the pixels ``(H, W, 3)`` that the network was given and its logits ``(H, W)``, and returns better logits.
REFINEMENTS: Final[Mapping[str, Callable[[ImageArray, FloatArray], FloatArray]]] = {"graph-cut": graph_cut}
