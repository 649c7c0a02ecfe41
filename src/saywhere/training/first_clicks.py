"""The clicks that a training sample begins with."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from saywhere.core import robot
from saywhere.core.prompt import Click

TAP = 50 / 512  # how far a tap is off the centre, over the crop's side (Multi-Stage Fusion, section 3.4)


def initial_clicks(
    target: NDArray[np.bool_],
    ignore: NDArray[np.bool_],
    others: NDArray[np.bool_],
    several: bool,
    is_part: bool,
    drags: bool,
    rng: np.random.Generator,
) -> list[Click]:
    """The clicks of the first round: one on the object, or several by the strategies of Xu et al. (2016).

    A part always gets a negative click on what surrounds it: a single click on it means the whole.
    """
    if not several:
        if rng.random() < 0.6:
            clicks = [robot.first_click(target)]
        else:
            clicks = robot.positive_clicks(target, 1, rng, margin=5.0)
    else:
        clicks = robot.positive_clicks(target, int(rng.integers(1, 5)), rng)
        negatives = int(rng.integers(1 if is_part else 0, 4))
        strategies = ["objects", "rim"] if is_part and others.any() else list(robot.NEGATIVE_STRATEGIES)
        strategy = strategies[int(rng.integers(len(strategies)))]
        clicks += [
            c for c in robot.negative_clicks(target, negatives, rng, strategy, others) if not ignore[int(c.y), int(c.x)]
        ]
        if len(clicks) > 1:
            first, rest = clicks[0], clicks[1:]
            clicks = [first, *(rest[i] for i in rng.permutation(len(rest)))]
    return [as_drag(c, target, rng) for c in clicks] if drags else clicks


def single_click(target: NDArray[np.bool_], who: str, drags: bool, rng: np.random.Generator) -> Click:
    """The one click of the protocol's robot, or of a tap near the centre."""
    if who == "protocol":
        return robot.first_click(target, drag=drags)
    tap = robot.tap(target, rng, TAP * target.shape[0])
    return as_drag(tap, target, rng) if drags else tap


def as_drag(click: Click, target: NDArray[np.bool_], rng: np.random.Generator) -> Click:
    """The click with the radius that a person would drag, a little off as hands are."""
    region = target if click.positive else ~target
    distance = float(robot.boundary_distance(region)[int(click.y), int(click.x)])
    return Click(click.x, click.y, click.positive, max(distance * float(np.exp(rng.normal(0.0, 0.1))), 1.0))
