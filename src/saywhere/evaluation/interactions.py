"""Runs compared at equal numbers of interactions, under more than one way to count a phrase or a drag.

PhraseClick counts a click and a phrase as two interactions (section 4.3), DCT-Net a drag as one. Both countings of a
phrase are given, since a phrase that is for free gains more than one that takes the place of a click.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from saywhere.core import metrics
from saywhere.errors import SaywhereError
from saywhere.evaluation.compare import ALL, Difference, Groups, Run, check_comparable
from saywhere.evaluation.phrases import PhraseMode

NUMBERS = (1, 2, 3, 4, 5, 10, 20)  # of interactions after which IoUs are compared
TARGETS = (85, 90)  # IoUs of NoC, in percent


@dataclass(frozen=True)
class Counting:
    """How many interactions a phrase and a drag count as; a click, a box or a choice of candidates counts as one.

    Attributes:
        name: what tables call it.
        phrase: what a phrase counts as.
        drag: what a drag counts as.
    """

    name: str
    phrase: int = 1
    drag: int = 1


EACH_ONE = Counting("each counts one")
PHRASE_FREE = Counting("phrase free", phrase=0)
DRAG_TWO = Counting("drag counts two", drag=2)


@dataclass(frozen=True)
class CountedDifference:
    """A difference between two runs, and the counting that it is under."""

    counting: Counting
    difference: Difference


def countings(a: Run, b: Run) -> list[Counting]:
    """The countings under which two runs differ: always that of the papers, and others where a phrase or drag is in."""
    found = [EACH_ONE]
    if a.get("phrase") or b.get("phrase"):
        found.append(PHRASE_FREE)
    # Figures do not say which interactions of a drag run chose a candidate instead.
    if any(_is_drag(run) for run in (a, b)) and not any(run.get("step_candidates") for run in (a, b)):
        found.append(DRAG_TWO)
    return found


def totals(run: Run, interactions: int, counting: Counting) -> list[int]:
    """How much an object has cost after each of its interactions.

    Args:
        run: figures of ``saywhere bench``; they say when the phrase came, and whether clicks were drags.
        interactions: how many there were.
        counting: what each counts as.

    Example:
        >>> run = {"phrase": "own", "interaction": "click"}
        >>> totals(run, 4, EACH_ONE), totals(run, 4, PHRASE_FREE)
        ([1, 2, 3, 4], [1, 1, 2, 3])
    """
    costs = [counting.drag if _is_drag(run) else 1] * interactions
    if run.get("box") and costs:
        costs[0] = 1
    if run.get("phrase"):
        at = PhraseMode(run["phrase"]).at
        costs[at : at + 1] = [counting.phrase] * len(costs[at : at + 1])
    return list(accumulate(costs))


def iou_after(ious: Sequence[float], spent: Sequence[int], number: int) -> float:
    """The IoU when ``number`` interactions were counted, with all that is free after them.

    Args:
        ious: after each interaction of an object.
        spent: the total after each interaction, see :func:`totals`.
        number: of interactions counted.

    Returns:
        The last IoU within the number; 0 where nothing can be had for it.
    """
    return next((iou for iou, total in zip(reversed(ious), reversed(spent), strict=True) if total <= number), 0.0)


def number_to_reach(ious: Sequence[float], spent: Sequence[int], threshold: float, limit: int) -> float:
    """The number of interactions, as they are counted, to an IoU; the limit where it is not reached within it."""
    reached = metrics.first_reaching(ious, threshold, len(ious))
    return float(limit if reached is None else min(spent[reached - 1], limit))


def compare_interactions(
    a: Run, b: Run, groups: Groups | None = None, numbers: Sequence[int] = NUMBERS
) -> list[CountedDifference]:
    """mIoU after equal numbers of interactions, and NoC, under each counting; B less A with intervals.

    Args:
        a: figures of one run, for example by clicks alone.
        b: figures of the other, for example with a phrase.
        groups: groups of objects; None: all together.
        numbers: of interactions. Those that either run could not spend are left out (a run of 20 interactions has 19
            beside a phrase that is free), and so is NoC where the two maxima differ.

    Raises:
        SaywhereError: the runs are on different objects, or of sequences.
    """
    for run in (a, b):
        if "sequences" in run:
            raise SaywhereError("--interactions: a run of sequences counts proposals its own way; leave it out")
    check_comparable(a, b, paired_limits=False)
    rows = []
    for counting in countings(a, b):
        most = min(totals(run, run["most_interactions"], counting)[-1] for run in (a, b))
        for group, names in (groups or {ALL: sorted(a["ious"])}).items():
            figures = {
                f"mIoU@{number}": _iou_at(number)
                for number in numbers
                if max(counting.drag if _is_drag(run) else 1 for run in (a, b)) <= number <= most
            }
            if a["most_interactions"] == b["most_interactions"]:
                figures |= {f"NoC@{percent}": _number_to(percent, a["most_interactions"]) for percent in TARGETS}
            for figure, value in figures.items():
                pairs = [
                    tuple(value(run["ious"][name], _spent(run, name, counting)) for run in (a, b)) for name in names
                ]
                rows.append(CountedDifference(counting, _difference(figure, group, pairs)))
    return rows


def _iou_at(number: int) -> Callable[[Sequence[float], Sequence[int]], float]:
    return lambda ious, spent: iou_after(ious, spent, number)


def _number_to(percent: int, limit: int) -> Callable[[Sequence[float], Sequence[int]], float]:
    return lambda ious, spent: number_to_reach(ious, spent, percent / 100.0, limit)


def _spent(run: Run, name: str, counting: Counting) -> list[int]:
    return totals(run, len(run["ious"][name]), counting)


def _difference(figure: str, group: str, pairs: Sequence[tuple[float, ...]]) -> Difference:
    a, b = ([pair[side] for pair in pairs] for side in (0, 1))
    paired = [y - x for x, y in pairs]
    low, high = metrics.bootstrap_interval(paired)
    mean_a, mean_b, difference = (sum(values) / len(values) for values in (a, b, paired))
    return Difference(figure, group, len(pairs), mean_a, mean_b, difference, low, high)


def _is_drag(run: Mapping[str, Any]) -> bool:
    return bool(run.get("interaction") == "drag")
