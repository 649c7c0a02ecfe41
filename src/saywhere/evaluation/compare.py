"""Is one run better than another? Paired differences over the objects that both measured."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saywhere.core import metrics
from saywhere.errors import SaywhereError
from saywhere.evaluation.summary import per_object, values_of

COMPARED = ("noc85", "noc90", "miou1", "miou3", "auc")
ALL = "all"  # the group of all objects

Run = Mapping[str, Any]  # figures of saywhere bench
Groups = Mapping[str, Sequence[str]]  # names of the objects in each group


@dataclass(frozen=True)
class Estimate:
    """The mean of one figure over a group of objects, with its 95 % bootstrap interval."""

    figure: str
    group: str
    objects: int
    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """B less A on one figure, with its 95 % bootstrap interval over objects."""

    figure: str
    group: str
    objects: int
    a: float
    b: float
    difference: float
    low: float
    high: float

    @property
    def certain(self) -> bool:
        """Whether the interval leaves zero out."""
        return self.low > 0.0 or self.high < 0.0


def read_figures(path: Path) -> dict[str, Any]:
    """Read the figures of a run.

    Args:
        path: what ``saywhere bench --json`` wrote.

    Raises:
        SaywhereError: it is something else.
    """
    try:
        figures = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SaywhereError(
            f"figures '{path}': cannot be read ({error}); give what saywhere bench --json wrote"
        ) from error
    if not isinstance(figures, dict) or not isinstance(figures.get("ious"), dict):
        raise SaywhereError(f"figures '{path}': without 'ious' by object; give what saywhere bench --json wrote")
    return figures


def estimate(run: Run, figures: Sequence[str] = COMPARED, groups: Groups | None = None) -> list[Estimate]:
    """Means of one run.

    Args:
        run: its figures.
        figures: which of them; see :func:`check_figures`.
        groups: groups of objects; None: all together.

    Raises:
        SaywhereError: an unknown figure.
    """
    check_figures(figures, run)
    estimates = []
    for group, names in (groups or {ALL: sorted(run["ious"])}).items():
        for figure in figures:
            values = object_values(run, figure, names)
            low, high = metrics.bootstrap_interval(values)
            estimates.append(Estimate(figure, group, len(names), _mean(values), low, high))
    return estimates


def compare(
    a: Run,
    b: Run,
    figures: Sequence[str] = COMPARED,
    groups: Groups | None = None,
    figures_of_b: Sequence[str] | None = None,
) -> list[Difference]:
    """The paired differences of two runs.

    Args:
        a: figures of the first run.
        b: figures of the second.
        figures: what is compared; see :func:`check_figures`.
        groups: groups of objects; None: all together.
        figures_of_b: the figures of ``b`` that are compared with those of ``a``, when they are others: to compare
            prompts after different numbers of interactions.

    Raises:
        SaywhereError: the runs did not measure the same objects in the same way, or a figure is unknown.
    """
    check_comparable(a, b, paired_limits=figures_of_b is None)
    theirs = figures if figures_of_b is None else figures_of_b
    check_figures(figures, a)
    check_figures(theirs, b)
    differences = []
    for group, names in (groups or {ALL: sorted(a["ious"])}).items():
        for ours, other in zip(figures, theirs, strict=True):
            values = object_values(a, ours, names), object_values(b, other, names)
            paired = [y - x for x, y in zip(*values, strict=True)]
            low, high = metrics.bootstrap_interval(paired)
            name = ours if ours == other else f"{ours}, {other}"
            means = _mean(values[0]), _mean(values[1])
            differences.append(Difference(name, group, len(names), *means, _mean(paired), low, high))
    return differences


def check_figures(figures: Sequence[str], run: Run) -> None:
    """Check the names of figures: nocT and nofT for T in 80, 85, 90, 95, miouK for any K, and auc.

    Raises:
        SaywhereError: an unknown one.
    """
    known = per_object(run["most_interactions"])
    for figure in figures:
        if figure not in known and not _is_mean_iou(figure):
            raise SaywhereError(f"figure '{figure}': unknown; choose from {', '.join(known)} and miou with any number")


def _is_mean_iou(figure: str) -> bool:
    return figure.startswith("miou") and figure[4:].isdecimal() and int(figure[4:]) > 0


def check_comparable(a: Run, b: Run, paired_limits: bool = True) -> None:
    """Check that two runs measured the same objects.

    Args:
        a: figures of one run.
        b: figures of the other.
        paired_limits: whether the maximum number of interactions must be the same too.

    Raises:
        SaywhereError: they did not.
    """
    for key in ("data", *(["most_interactions"] if paired_limits else [])):
        if a[key] != b[key]:
            raise SaywhereError(f"runs with {key} {a[key]} and {b[key]}: only runs with the same can be compared")
    if unpaired := len(a["ious"].keys() ^ b["ious"].keys()):
        raise SaywhereError(
            f"runs over different objects ({unpaired} are in one only): measure both with the same --limit"
        )


def object_values(run: Run, figure: str, names: Sequence[str]) -> list[float]:
    """The value of each object.

    Args:
        run: figures of a run.
        figure: one of those that :func:`check_figures` knows.
        names: the objects.

    Returns:
        One for each name, in their order.
    """
    limit, ious = run["most_interactions"], {name: run["ious"][name] for name in names}
    if "sequences" in run and figure.startswith("noc"):
        # The IoUs of a sequence begin with that of the proposal, which costs no interaction.
        target = int(figure[3:]) / 100.0
        return [float(next((k for k, iou in enumerate(ious[name]) if iou >= target), limit)) for name in names]
    if "sequences" in run and not figure.startswith("nof"):
        ious = {name: values[1:] or values for name, values in ious.items()}
    metric = values_of(figure, limit, ious)
    return [metric.values[name] for name in names]


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)
