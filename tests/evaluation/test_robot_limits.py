"""The robot user with methods that take few clicks, or none off the object."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from conftest import DiscRuntime
from saywhere import Click, SaywhereError, Segmenter, Settings
from saywhere.evaluation.benchmark import Task, check_capabilities, possible_interactions
from saywhere.evaluation.evaluate import Interaction, interact
from saywhere.evaluation.phrases import PhraseMode
from saywhere.evaluation.robot_user import GroundTruth, RobotUser, first_action
from saywhere.runtime.base import Capabilities
from saywhere.runtime.timed import TimedRuntime


def interactions(capabilities: Capabilities, user: RobotUser) -> list[Interaction]:
    """What the robot does about an object of two parts, each much smaller than the disc around a click."""
    target = np.zeros((200, 300), bool)
    target[90:110, 40:60] = True
    target[95:105, 250:260] = True
    truth = GroundTruth("pair", None, None, target, None)
    runtime = DiscRuntime()
    runtime.capabilities = capabilities
    timed = TimedRuntime(runtime)
    segmenter = Segmenter(timed, Settings(zoom=False)).set_image(np.zeros((200, 300, 3), np.uint8))
    limited = replace(user, max_clicks=capabilities.max_clicks, negative_clicks=capabilities.negative_clicks)
    return list(interact(limited, segmenter, timed, truth, first_action(user, truth)))


def test_it_stops_after_the_clicks_that_the_method_takes() -> None:
    user = RobotUser(max_interactions=6)
    assert len(interactions(Capabilities(), user)) == 6
    for most in (1, 3):
        made = interactions(Capabilities(max_clicks=most), user)
        assert [i.last for i in made] == [False] * (most - 1) + [True]


def test_without_negative_clicks_it_clicks_what_is_missing() -> None:
    user = RobotUser(max_interactions=6)
    assert not all(i.positive for i in interactions(Capabilities(), user))
    made = interactions(Capabilities(negative_clicks=False), user)
    assert [(round(i.action.x / 5), i.positive) for i in made if isinstance(i.action, Click)] == [
        (10, True),
        (51, True),
    ]


def test_the_number_of_interactions_that_a_method_can_take() -> None:
    task = Task(None, "none", max_interactions=20)
    one = Capabilities(max_clicks=1)
    assert possible_interactions(task, Capabilities()) == 20
    assert possible_interactions(task, one) == 1
    assert possible_interactions(replace(task, phrase=PhraseMode.LATER), one) == 2
    assert possible_interactions(replace(task, box=True, max_interactions=1), one) == 1
    assert possible_interactions(replace(task, step_candidates=True), Capabilities(max_clicks=2, candidates=3)) == 4


def test_drags_need_a_network_that_takes_them() -> None:
    runtime = DiscRuntime()
    check_capabilities(Task(None, "none", drag=True), runtime)
    runtime.capabilities = Capabilities(drags=False)
    with pytest.raises(SaywhereError, match=r"--drag: model 'disc' takes no drags"):
        check_capabilities(Task(None, "none", drag=True), runtime)
