"""How good masks are, and how much work they took, as objects to update and compute."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from saywhere.errors import SaywhereError

BoolMask = NDArray[np.bool_]
MOST_INTERACTIONS = 20


def iou(predicted: BoolMask, target: BoolMask, ignore: BoolMask | None = None) -> float:
    """Intersection over union of two ``(H, W)`` masks over the counted pixels.

    Raises SaywhereError when the union is empty: then there was no object to find.
    """
    both, either = predicted & target, predicted | target
    if ignore is not None:
        both, either = both & ~ignore, either & ~ignore
    union = int(np.count_nonzero(either))
    if union == 0:
        raise SaywhereError("empty union: neither the target nor the answer has a counted pixel; check the mask")
    return int(np.count_nonzero(both)) / union


class NoC:
    """Mean number of interactions to reach an IoU, ``limit`` where it is never reached. NoF counts the latter.

    ``update`` takes the IoU after each interaction of one object, in order; one that is reached at the last
    interaction counts as reached.
    """

    def __init__(self, threshold: float, limit: int = MOST_INTERACTIONS) -> None:
        self.threshold, self.limit = threshold, limit
        self.interactions: list[int] = []
        self.failures = 0

    def update(self, ious: Sequence[float]) -> None:
        reached = next((k for k, value in enumerate(ious[: self.limit], 1) if value >= self.threshold), None)
        self.interactions.append(self.limit if reached is None else reached)
        self.failures += reached is None

    def compute(self) -> float:
        return float(np.mean(self.interactions))


class MeanIoU:
    """Mean IoU after ``k`` interactions; an object finished earlier keeps its last IoU."""

    def __init__(self, k: int) -> None:
        self.k = k
        self.values: list[float] = []

    def update(self, ious: Sequence[float]) -> None:
        self.values.append(ious[min(self.k, len(ious)) - 1])

    def compute(self) -> float:
        return float(np.mean(self.values))
