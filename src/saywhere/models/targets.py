"""Labels of a training sample beyond its mask."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Scene:
    """What a training photograph is known to show, at an eighth of its size.

    ``named`` are the labels and where each is, ``(h, w)`` bool; ``meant`` is where the prompt's phrase truly applies,
    None without a phrase.
    """

    named: tuple[tuple[str, NDArray[np.bool_]], ...]
    meant: NDArray[np.bool_] | None
