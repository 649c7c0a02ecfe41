"""Labels of a training sample beyond its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PhraseSupervision:
    """What a training photograph is known to show, at an eighth of its size.

    ``regions`` are the labels and where each is, ``(h, w)`` bool; ``target`` is where the prompt's phrase truly
    applies, None without a phrase.
    """

    regions: tuple[tuple[str, NDArray[np.bool_]], ...]
    target: NDArray[np.bool_] | None
