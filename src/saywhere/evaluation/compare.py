"""Is one run better than another? Paired differences over the objects that both measured."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saywhere.core import metrics
from saywhere.errors import SaywhereError
from saywhere.evaluation.summary import per_object

COMPARED = ("noc85", "noc90", "miou1", "miou3", "auc")


@dataclass(frozen=True)
class Difference:
    """B less A on one figure, with its 95 % bootstrap interval over objects."""

    figure: str
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
    """The figures that ``saywhere bench --json`` wrote; SaywhereError when it is something else."""
    try:
        figures = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SaywhereError(
            f"figures '{path}': cannot be read ({error}); give what saywhere bench --json wrote"
        ) from error
    if not isinstance(figures, dict) or not isinstance(figures.get("ious"), dict):
        raise SaywhereError(f"figures '{path}': without 'ious' by object; give what saywhere bench --json wrote")
    return figures


def compare(a: dict[str, Any], b: dict[str, Any]) -> list[Difference]:
    """The paired differences of two runs. SaywhereError when they did not measure the same objects alike."""
    for key in ("data", "most_interactions"):
        if a[key] != b[key]:
            raise SaywhereError(f"runs with {key} {a[key]} and {b[key]}: only runs with the same can be compared")
    if a["ious"].keys() != b["ious"].keys():
        alone = len(a["ious"].keys() ^ b["ious"].keys())
        raise SaywhereError(
            f"runs over different objects ({alone} are in one only): measure both with the same --limit"
        )
    names = sorted(a["ious"])
    answer = []
    for figure in COMPARED:
        values = []
        for run in (a, b):
            metric = per_object(run["most_interactions"])[figure]
            for name in names:
                metric.update(name, run["ious"][name])
            values.append([metric.values[name] for name in names])
        paired = [y - x for x, y in zip(*values, strict=True)]
        low, high = metrics.bootstrap_interval(paired)
        means = [sum(v) / len(v) for v in values]
        answer.append(Difference(figure, means[0], means[1], sum(paired) / len(paired), low, high))
    return answer
