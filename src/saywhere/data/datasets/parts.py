"""Which labelled objects are parts of other labelled objects of the same image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from saywhere.core.rle import RunLengths, containment

INSIDE = 0.8  # share of an object in another one that makes it a part
LARGER = 1.5  # how many times as large that other one is at least


def lies_inside_another(regions: Sequence[RunLengths]) -> NDArray[np.bool_]:
    """Find the objects that lie inside a clearly larger labelled one.

    Args:
        regions: the objects of one image.

    Returns:
        Whether each is a part.
    """
    if len(regions) < 2:
        return np.zeros(len(regions), np.bool_)
    areas = np.array([region.area for region in regions], np.float64)
    larger = areas[None, :] >= LARGER * areas[:, None]
    return np.asarray(((containment(regions) >= INSIDE) & larger).any(axis=1), np.bool_)
