"""SAM's array shapes: prompts in, masks out."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from saywhere.core.prompt import Click
from saywhere.errors import SaywhereError

LOW = 256  # side of SAM's low-resolution logits


def _points(coords: ArrayLike | None, labels: ArrayLike | None) -> list[Click]:
    if coords is None and labels is None:
        return []
    points, signs = np.asarray(coords, np.float64), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or signs.shape != (len(points),):
        raise SaywhereError(
            f"point_coords of shape {points.shape} and point_labels of shape {signs.shape}: give (N, 2) and (N,)"
        )
    if not np.isin(signs, (0, 1)).all():
        raise SaywhereError(f"point_labels {signs.tolist()}: give 1 (on the object) or 0 (off it)")
    return [Click(float(x), float(y), bool(sign)) for (x, y), sign in zip(points, signs, strict=True)]
