"""The supervision of a training sample in addition to its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class PhraseSupervision:
    """Where labels and the prompt's phrase apply in a training sample, at an eighth of its size.

    Attributes:
        regions: labels, each with its mask ``(h, w)``.
        target: ``(h, w)``, where the prompt's phrase applies; None without a phrase.
    """

    regions: tuple[tuple[str, NDArray[np.bool_]], ...]
    target: NDArray[np.bool_] | None
