"""The quality of masks and the effort that they took, as metrics to update, merge and compute.

Each metric holds one value per object, by the object's name. Merging is a union, and means are exactly rounded sums
(``math.fsum``), so that the same objects give the same figure to the last digit, in whatever order and in however
many processes they were measured.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Self

import cv2
import numpy as np

from saywhere.core.arrays import BoolArray
from saywhere.errors import SaywhereError

MAX_INTERACTIONS = 20
BOUNDARY_WIDTH = 0.02  # in boundary IoU, as a share of the image's diagonal


def iou(predicted: BoolArray, target: BoolArray, ignore: BoolArray | None = None) -> float:
    """Intersection over union of two masks over the counted pixels.

    Args:
        predicted: ``(H, W)``.
        target: ``(H, W)``.
        ignore: ``(H, W)``, the pixels that do not count; None: all count.

    Raises:
        SaywhereError: the union is empty: then there was no object to segment.

    Example:
        >>> import numpy as np
        >>> iou(np.array([[True, True, False]]), np.array([[False, True, True]]))
        0.3333333333333333
    """
    intersection, union = predicted & target, predicted | target
    if ignore is not None:
        intersection, union = intersection & ~ignore, union & ~ignore
    area = int(np.count_nonzero(union))
    if area == 0:
        raise SaywhereError("empty union: neither the target nor the answer has a counted pixel; check the mask")
    return int(np.count_nonzero(intersection)) / area


def boundary_iou(predicted: BoolArray, target: BoolArray, ignore: BoolArray | None = None) -> float:
    """IoU of the two masks' inner boundaries, 2 % of the diagonal wide: insensitive to easy interiors.

    Cheng et al., Boundary IoU, 2021. Arguments and errors are those of :func:`iou`.
    """
    width = max(round(BOUNDARY_WIDTH * math.hypot(*target.shape)), 1)
    return iou(inner_boundary(predicted, width), inner_boundary(target, width), ignore)


def inner_boundary(mask: BoolArray, width: int) -> BoolArray:
    """The pixels of a mask at most ``width`` steps from its outside; the image's border is outside."""
    padded = np.pad(mask.astype(np.uint8), 1)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask & (inner == 0)


class PerObject:
    """A mean over objects.

    Args:
        value: an object's value, from its IoU after each interaction, in order.

    Attributes:
        values: the value of each object, by name.
    """

    def __init__(self, value: Callable[[Sequence[float]], float]) -> None:
        self.value = value
        self.values: dict[str, float] = {}

    def update(self, name: str, ious: Sequence[float]) -> None:
        """Add an object.

        Args:
            name: the object's name.
            ious: the IoU after each interaction, in order.

        Raises:
            SaywhereError: there was no interaction.
        """
        if not ious:
            raise SaywhereError(f"object '{name}': no interaction was made, so there is nothing to measure")
        self.values[name] = self.value(ious)

    def merge(self, other: Self) -> Self:
        """Add the objects of another process; the same object twice is one object."""
        self.values |= other.values
        return self

    def compute(self) -> float:
        """The mean.

        Raises:
            SaywhereError: there are no objects.
        """
        if not self.values:
            raise SaywhereError("no objects were measured; is the data set empty?")
        return math.fsum(self.values.values()) / len(self.values)


class NoC(PerObject):
    """NoC@threshold: mean number of interactions to reach an IoU; ``limit`` where it is never reached.

    The first time counts, and one that is reached at the last interaction counts as reached.

    Example:
        >>> noc = NoC(0.85)
        >>> noc.update("cup", [0.7, 0.9])
        >>> noc.update("dog", [0.9])
        >>> noc.compute()
        1.5
    """

    def __init__(self, threshold: float, limit: int = MAX_INTERACTIONS) -> None:
        super().__init__(lambda ious: float(first_reaching(ious, threshold, limit) or limit))


class NoF(PerObject):
    """NoF@threshold: number of objects that never reach an IoU."""

    def __init__(self, threshold: float, limit: int = MAX_INTERACTIONS) -> None:
        super().__init__(lambda ious: float(first_reaching(ious, threshold, limit) is None))

    def compute(self) -> float:
        """The number of objects."""
        return math.fsum(self.values.values())


class MeanIoU(PerObject):
    """mIoU@k: mean IoU after ``k`` interactions; an object finished earlier keeps its last."""

    def __init__(self, k: int) -> None:
        super().__init__(lambda ious: ious[min(k, len(ious)) - 1])


class AuC(PerObject):
    """Area under IoU against interactions, from the first to ``limit``, over its width: 1 is a perfect first answer."""

    def __init__(self, limit: int = MAX_INTERACTIONS) -> None:
        super().__init__(lambda ious: area(ious, limit))


def first_reaching(ious: Sequence[float], threshold: float, limit: int) -> int | None:
    """The number, from 1, of the first interaction after which the IoU reaches a threshold; None if none does."""
    return next((k for k, value in enumerate(ious[:limit], 1) if value >= threshold), None)


def area(ious: Sequence[float], limit: int) -> float:
    """Trapezoids under the IoU after 1 to ``limit`` interactions, the last value carried on; divided by the width."""
    filled = [*ious[:limit], *[ious[-1]] * (limit - len(ious))]
    if limit == 1:
        return filled[0]
    return math.fsum((a + b) / 2.0 for a, b in pairwise(filled)) / (limit - 1)


def by_class(values: Mapping[str, float], labels: Mapping[str, str | None]) -> dict[str, float]:
    """The mean of each class, from each object's value and label; objects without a label are left out."""
    grouped: dict[str, list[float]] = defaultdict(list)
    for name, value in values.items():
        label = labels.get(name)
        if label is not None:
            grouped[label].append(value)
    return {label: math.fsum(members) / len(members) for label, members in sorted(grouped.items())}


def seen_unseen(classes: Mapping[str, float], seen: set[str]) -> tuple[float | None, float | None]:
    """The mean over the classes that were trained on, and over those that were not; None where there are none."""
    means = []
    for is_seen in (True, False):
        values = [value for label, value in classes.items() if (label in seen) == is_seen]
        means.append(math.fsum(values) / len(values) if values else None)
    return means[0], means[1]


def bootstrap_interval(values: Sequence[float], seed: int = 0, resamples: int = 2000) -> tuple[float, float]:
    """A 95 % bootstrap interval of the mean, over objects (Efron's percentile method).

    Equal to ``scipy.stats.bootstrap`` with ``method="percentile"``, the same seed and 200 resamples at a time, without
    SciPy's 140 MB.

    Args:
        values: one for each object.
        seed: of the resampling.
        resamples: how many.

    Returns:
        Both ends; the value itself twice where there is one object or all are equal.
    """
    data = np.asarray(values, np.float64)
    if len(data) < 2 or (data == data[0]).all():
        return float(data[0]), float(data[0])
    rng = np.random.default_rng(seed)
    batches = [min(200, resamples - start) for start in range(0, resamples, 200)]
    means = np.concatenate([data[rng.integers(0, len(data), (batch, len(data)))].mean(axis=1) for batch in batches])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
