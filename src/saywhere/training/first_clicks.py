"""The clicks that a training sample begins with."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from saywhere.core import robot
from saywhere.core.arrays import BoolArray
from saywhere.core.prompt import Click
from saywhere.core.robot import ClickPlace

TAP_JITTER = 50 / 512  # how far a tap is off the centre, over the crop's side (Multi-Stage Fusion, section 3.4)
DRAG_NOISE = 0.1  # standard deviation of the logarithm of a drag's radius


def initial_clicks(
    target: BoolArray,
    ignore: BoolArray,
    others: BoolArray,
    multiple: bool,
    needs_negative: bool,
    drags: bool,
    rng: np.random.Generator,
    places: Mapping[ClickPlace, float] | None = None,
    positive: tuple[int, int] = (1, 4),
    negative: tuple[int, int] = (0, 3),
) -> list[Click]:
    """The clicks of the first round: one on the object, or several by the strategies of Xu et al. (2016).

    Args:
        target: ``(H, W)``, the object.
        ignore: ``(H, W)``, pixels that do not count.
        others: ``(H, W)``, the other objects of the image.
        multiple: whether there may be several.
        needs_negative: whether a negative click must be among several, as for a part: a single click on it means the
            whole.
        drags: whether clicks carry a radius.
        rng: decides the rest.
        places: relative frequencies of the places of a single click, see :func:`saywhere.core.robot.click_at`; by
            default at the centre or anywhere.
        positive: the fewest and the most positive clicks, where there may be several.
        negative: the same of negative ones.
    """
    if multiple:
        clicks = _several_clicks(target, ignore, others, needs_negative, rng, positive, negative)
    elif places:
        clicks = [robot.click_at(_draw(places, rng), target, rng)]
    elif rng.random() < 0.6:
        clicks = [robot.first_click(target)]
    else:
        clicks = robot.positive_clicks(target, 1, rng, margin=5.0)
    return [as_drag(click, target, rng) for click in clicks] if drags else clicks


def _several_clicks(
    target: BoolArray,
    ignore: BoolArray,
    others: BoolArray,
    needs_negative: bool,
    rng: np.random.Generator,
    positive: tuple[int, int],
    negative_counts: tuple[int, int],
) -> list[Click]:
    """Positive and negative clicks, as many as may be; a positive one comes first."""
    clicks = robot.positive_clicks(target, int(rng.integers(positive[0], positive[1] + 1)), rng)
    least, most = negative_counts
    if needs_negative:
        least, most = max(least, 1), max(most, 1)
    count = int(rng.integers(least, most + 1))
    strategies = ["objects", "rim"] if needs_negative and others.any() else list(robot.NEGATIVE_STRATEGIES)
    strategy = strategies[int(rng.integers(len(strategies)))]
    negative = robot.negative_clicks(target, count, rng, strategy, others)
    clicks += [click for click in negative if not ignore[int(click.y), int(click.x)]]
    if len(clicks) < 2:
        return clicks
    first, rest = clicks[0], clicks[1:]
    return [first, *(rest[i] for i in rng.permutation(len(rest)))]


def single_click(target: BoolArray, kind: str, drags: bool, rng: np.random.Generator) -> Click:
    """One click on the object: "protocol" is the first click of the evaluation protocol, "tap" one near the centre."""
    if kind == "protocol":
        return robot.first_click(target, drag=drags)
    tap = robot.tap(target, rng, TAP_JITTER * target.shape[0])
    return as_drag(tap, target, rng) if drags else tap


def _draw(frequencies: Mapping[ClickPlace, float], rng: np.random.Generator) -> ClickPlace:
    places = list(frequencies)
    weights = np.array([frequencies[place] for place in places])
    return places[int(rng.choice(len(places), p=weights / weights.sum()))]


def as_drag(click: Click, target: BoolArray, rng: np.random.Generator) -> Click:
    """The click with the radius that a person would drag: about the distance to the region's boundary."""
    region = target if click.positive else ~target
    distance = float(robot.boundary_distance(region)[int(click.y), int(click.x)])
    return Click(click.x, click.y, click.positive, max(distance * float(np.exp(rng.normal(0.0, DRAG_NOISE))), 1.0))
