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
    """The cheapest division of ``(H, W, 3)`` pixels by Boykov and Jolly (2001), as logits ``(H, W)``.

    A pixel pays ``-log p`` to lie on the object and ``-log (1 - p)`` to lie off it, alike neighbours pay to be
    divided. Every logit keeps how sure it was; its sign is the cut's. Raises SaywhereError without the extra bench.
    """
    bounded = np.clip(logits.astype(np.float64), -MAX_LOGIT, MAX_LOGIT)
    on, off = np.logaddexp(0.0, -bounded), np.logaddexp(0.0, bounded)
    # No seeds: what was clicked is in the logits already.
    inside = cut(image, on, off, smoothness=smoothness)
    sure = np.maximum(np.abs(logits), np.float32(MIN_LOGIT))
    return np.where(inside, sure, -sure).astype(np.float32)


# Each takes the pixels ``(H, W, 3)`` that the network was given and its logits ``(H, W)``, and returns better logits.
REFINEMENTS: Final[Mapping[str, Callable[[ImageArray, FloatArray], FloatArray]]] = {"graph-cut": graph_cut}
