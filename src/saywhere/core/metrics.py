"""Quality of masks and number of interactions, as metrics with ``update``, ``merge`` and ``compute``.

Each metric stores one value for each object, by the object's name. Merging is a union, and sums are correctly rounded
(``math.fsum``), so that the result has the same digits in whatever order and in how many processes the objects were
measured.
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
BOUNDARY_WIDTH = 0.02  # of a boundary in boundary IoU, as a share of the image's diagonal


def iou(predicted: BoolArray, target: BoolArray, ignore: BoolArray | None = None) -> float:
    """Intersection over union of two masks over the counted pixels.

    Args:
        predicted: ``(H, W)``.
        target: ``(H, W)``.
        ignore: ``(H, W)``, the pixels that do not count; None: all count.

    Raises:
        SaywhereError: the union is empty.

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
        raise SaywhereError("empty union: neither target nor prediction has a counted pixel; check the mask")
    return int(np.count_nonzero(intersection)) / area


def boundary_iou(predicted: BoolArray, target: BoolArray, ignore: BoolArray | None = None) -> float:
    """IoU of the two masks' inner boundaries, 2 % of the diagonal wide, which does not depend on the interiors.

    Boundary IoU (Cheng et al. 2021). Arguments and errors are those of :func:`iou`.
    """
    width = max(round(BOUNDARY_WIDTH * math.hypot(*target.shape)), 1)
    return iou(inner_boundary(predicted, width), inner_boundary(target, width), ignore)


def inner_boundary(mask: BoolArray, width: int) -> BoolArray:
    """The pixels of a mask near its boundary.

    Args:
        mask: ``(H, W)``.
        width: of the boundary, in pixels; the mask also ends at the image's border.

    Returns:
        ``(H, W)``.
    """
    padded = np.pad(mask.astype(np.uint8), 1)
    inner = cv2.erode(padded, np.ones((3, 3), np.uint8), iterations=width)[1:-1, 1:-1]
    return mask & (inner == 0)


class PerObject:
    """The mean of a value over objects.

    Args:
        value: computes an object's value from its IoU after each interaction.

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
        """Add the objects of another metric, for example of another process; of two with the same name one counts."""
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
    """NoC@threshold: mean number of interactions after which the IoU first reaches a threshold.

    Args:
        threshold: IoU to reach.
        limit: maximum number of interactions, and the value of an object that does not reach the threshold.

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
    """NoF@threshold: number of objects whose IoU does not reach a threshold.

    Args:
        threshold: IoU to reach.
        limit: maximum number of interactions.
    """

    def __init__(self, threshold: float, limit: int = MAX_INTERACTIONS) -> None:
        super().__init__(lambda ious: float(first_reaching(ious, threshold, limit) is None))

    def compute(self) -> float:
        """The number of objects."""
        return math.fsum(self.values.values())


class MeanIoU(PerObject):
    """mIoU@k: mean IoU after ``k`` interactions; the last IoU of an object that was finished earlier.

    Args:
        k: number of interactions.
    """

    def __init__(self, k: int) -> None:
        super().__init__(lambda ious: ious[min(k, len(ious)) - 1])


class AuC(PerObject):
    """Area under the curve of IoU against the number of interactions, over its width.

    1 if the first mask of each object is perfect.

    Args:
        limit: number of interactions at which the curve ends.
    """

    def __init__(self, limit: int = MAX_INTERACTIONS) -> None:
        super().__init__(lambda ious: area(ious, limit))


def first_reaching(ious: Sequence[float], threshold: float, limit: int) -> int | None:
    """The first interaction after which the IoU reaches a threshold.

    Args:
        ious: the IoU after each interaction.
        threshold: IoU to reach.
        limit: maximum number of interactions.

    Returns:
        The number of the interaction, from 1; None if the threshold is not reached.
    """
    return next((k for k, value in enumerate(ious[:limit], 1) if value >= threshold), None)


def area(ious: Sequence[float], limit: int) -> float:
    """Area under the IoU after 1 to ``limit`` interactions by the trapezoidal rule, divided by the width.

    Args:
        ious: the IoU after each interaction; the last one is repeated up to ``limit``.
        limit: number of interactions at which the curve ends.
    """
    padded = [*ious[:limit], *[ious[-1]] * (limit - len(ious))]
    if limit == 1:
        return padded[0]
    return math.fsum((a + b) / 2.0 for a, b in pairwise(padded)) / (limit - 1)


def by_class(values: Mapping[str, float], labels: Mapping[str, str | None]) -> dict[str, float]:
    """The mean value of each class.

    Args:
        values: of each object, by name.
        labels: of each object, by name; objects without a label are ignored.

    Returns:
        The mean for each label, sorted by label.
    """
    grouped: dict[str, list[float]] = defaultdict(list)
    for name, value in values.items():
        label = labels.get(name)
        if label is not None:
            grouped[label].append(value)
    return {label: math.fsum(members) / len(members) for label, members in sorted(grouped.items())}


def seen_unseen(classes: Mapping[str, float], seen: set[str]) -> tuple[float | None, float | None]:
    """The mean over the classes that were trained on, and over those that were not.

    Args:
        classes: the value of each class, by label.
        seen: labels of the classes that were trained on.

    Returns:
        Both means; None where there are no such classes.
    """
    means = []
    for is_seen in (True, False):
        values = [value for label, value in classes.items() if (label in seen) == is_seen]
        means.append(math.fsum(values) / len(values) if values else None)
    return means[0], means[1]


def bootstrap_interval(values: Sequence[float], seed: int = 0, resamples: int = 2000) -> tuple[float, float]:
    """A 95 % bootstrap interval of the mean (Efron's percentile method).

    Equal to ``scipy.stats.bootstrap`` with ``method="percentile"``, the same seed and 200 resamples at a time, without
    SciPy's 140 MB.

    Args:
        values: one for each object.
        seed: of the random numbers.
        resamples: number of bootstrap samples.

    Returns:
        The lower and the upper end; both are the mean where there is one value or all are equal.
    """
    data = np.asarray(values, np.float64)
    if len(data) < 2 or (data == data[0]).all():
        return float(data[0]), float(data[0])
    rng = np.random.default_rng(seed)
    batches = [min(200, resamples - start) for start in range(0, resamples, 200)]
    means = np.concatenate([data[rng.integers(0, len(data), (batch, len(data)))].mean(axis=1) for batch in batches])
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)
