"""From figures of evaluations to a table's cells: means, intervals, differences, and what they say of the paper."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from saywhere.core import metrics
from saywhere.evaluation.compare import object_values
from saywhere.evaluation.reproduce.definition import Direction

METRIC = re.compile(r"noc\d+(_together)?|nof\d+|miou\d+|auc")
Verdict = Literal["confirmed", "refuted", "within chance"]
VERDICTS: tuple[Verdict, ...] = ("confirmed", "refuted", "within chance")
TOGETHER = "_together"
"""Ending of NoC figures in which the first click and the phrase after it count as two interactions, and the first mask
that counts is that of both (PhraseClick, section 4.3)."""


@dataclass(frozen=True)
class Value:
    """A figure: its mean over objects with the 95 % bootstrap interval, or one number without objects.

    Attributes:
        mean: the mean, or the number.
        low, high: ends of the interval; both the mean for a number.
        by_object: the value of each object, its mean over seeds where there are several; empty for a number.
    """

    mean: float
    low: float
    high: float
    by_object: Mapping[str, float] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Comparison:
    """The difference of two values with its interval, and what it says of the paper's difference.

    Attributes:
        difference: the value less that of the row it is compared with.
        low, high: ends of the 95 % bootstrap interval over objects.
        expected: the sign of the paper's difference; None where the paper has none.
        verdict: whether the paper's sign is confirmed or refuted, or the interval contains zero.
    """

    difference: float
    low: float
    high: float
    expected: Direction | None
    verdict: Verdict | None


def value_of(run: Mapping[str, Any], figure: str, names: Collection[str] | None = None) -> Value | None:
    """A figure of a run.

    Args:
        run: what an evaluation wrote: ``ious`` by object, or ``per_object`` (values by figure and object), or numbers.
        figure: nocT, nofT, miouK or auc; the same nocT with :data:`TOGETHER`; a key of ``per_object``; or a number.
        names: only these objects; None: all.

    Returns:
        The value; None where no object is left.
    """
    if figure in run.get("per_object", {}):
        values = run["per_object"][figure]
    elif METRIC.fullmatch(figure):
        values = _from_ious(run, figure)
    else:
        number = float(run[figure])
        return Value(number, number, number)
    by_seed: dict[str, list[float]] = defaultdict(list)
    for name, value in values.items():
        plain = name.rpartition("@")[0] if "sequences" in run else name
        if names is None or plain in names:
            by_seed[plain].append(float(value))
    means = {name: math.fsum(of_seeds) / len(of_seeds) for name, of_seeds in sorted(by_seed.items())}
    return summarise(means) if means else None


def _from_ious(run: Mapping[str, Any], figure: str) -> dict[str, float]:
    if figure.endswith(TOGETHER):
        limit = int(run["most_interactions"])
        target = int(figure.removesuffix(TOGETHER).removeprefix("noc")) / 100.0
        # The mask of the first click alone does not count.
        return {
            name: float((metrics.first_reaching(ious[1:], target, limit - 1) or limit - 1) + 1)
            for name, ious in run["ious"].items()
        }
    names = sorted(run["ious"])
    return dict(zip(names, object_values(run, figure, names), strict=True))


def summarise(by_object: Mapping[str, float]) -> Value:
    """The mean of values with its interval."""
    values = list(by_object.values())
    low, high = metrics.bootstrap_interval(values)
    return Value(math.fsum(values) / len(values), low, high, by_object)


def sign_expected(published: float | None, against: float | None, given: Direction | None) -> Direction | None:
    """The sign of the paper's difference: from its values, or as given; None without either or where they are equal."""
    if published is None or against is None:
        return given
    return None if published == against else ("higher" if published > against else "lower")


def compare_values(a: Value, b: Value, expected: Direction | None) -> Comparison | None:
    """Compare ``b`` with ``a``: paired over objects where both have the same, else as two samples.

    Args:
        a: the value that it is compared with.
        b: the value.
        expected: the sign of the paper's difference.

    Returns:
        The comparison; None where one of them is a number without objects and the other is not.
    """
    if not a.by_object and not b.by_object:
        difference = b.mean - a.mean
        return Comparison(difference, difference, difference, expected, verdict(difference, difference, expected))
    if not a.by_object or not b.by_object:
        return None
    low, high = difference_interval(a.by_object, b.by_object)
    return Comparison(b.mean - a.mean, low, high, expected, verdict(low, high, expected))


def difference_interval(a: Mapping[str, float], b: Mapping[str, float]) -> tuple[float, float]:
    """The 95 % bootstrap interval of the mean of ``b`` less that of ``a``.

    Paired (of each object's difference) when both have the same objects, else both are resampled on their own.
    """
    if a.keys() == b.keys():
        return metrics.bootstrap_interval([b[name] - a[name] for name in sorted(a)])
    rng = np.random.default_rng(0)
    means = []
    for values in (a, b):
        data = np.array([values[name] for name in sorted(values)])
        means.append(data[rng.integers(0, len(data), (2000, len(data)))].mean(axis=1))
    low, high = np.percentile(means[1] - means[0], [2.5, 97.5])
    return float(low), float(high)


def contrast_values(more: tuple[Value, Value], less: tuple[Value, Value]) -> Comparison:
    """Whether the difference of the first two values (first less second) is higher than that of the other two."""
    gains = [paired_difference(*pair) for pair in (less, more)]
    low, high = difference_interval(*gains)
    means = [math.fsum(gain.values()) / len(gain) for gain in gains]
    return Comparison(means[1] - means[0], low, high, "higher", verdict(low, high, "higher"))


def paired_difference(value: Value, against: Value) -> dict[str, float]:
    """The difference of each object that both values have."""
    common = value.by_object.keys() & against.by_object.keys()
    return {name: value.by_object[name] - against.by_object[name] for name in sorted(common)}


def verdict(low: float, high: float, expected: Direction | None) -> Verdict | None:
    """What an interval says of the paper's sign.

    Example:
        >>> verdict(0.5, 1.5, "higher"), verdict(0.5, 1.5, "lower"), verdict(-0.5, 1.5, "lower")
        ('confirmed', 'refuted', 'within chance')
    """
    if expected is None:
        return None
    if low <= 0.0 <= high:
        return "within chance"
    return "confirmed" if (low > 0.0) == (expected == "higher") else "refuted"
