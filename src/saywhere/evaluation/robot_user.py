"""The robot user: what it does with an object, and what it does next."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from saywhere.core import metrics, robot
from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.geometry import Box
from saywhere.core.mask import Mask
from saywhere.core.metrics import MAX_INTERACTIONS
from saywhere.core.prompt import Click
from saywhere.core.robot import ClickPlace
from saywhere.data.datasets import Sample
from saywhere.errors import PhraseError

Action = Click | str | Box | int
"""What a robot user does: a click or drag, a phrase, a box, or the choice of a candidate mask by its index."""
ROBOT_SEED = 0  # with the object's name it seeds what is drawn: a first click off the centre, the jitter of a box
STEP_GAIN = 0.05  # by how much the IoU of another candidate must be higher for a robot to choose it instead of clicking


@dataclass(frozen=True)
class RobotUser:
    """What the simulated person does with each object.

    Attributes:
        max_interactions: when it gives up.
        drag: whether each click is dragged to the boundary of its region.
        target_iou: the IoU at which it accepts a mask; None: it goes on until no pixel is wrong.
        phrase_at: how many interactions come before the object's phrase; None: it gives no phrase.
        first_click: where the first click is, see :func:`saywhere.core.robot.click_at`; the protocol's is at the
            centre. Further clicks are those of the protocol.
        box: whether the first interaction is the object's bounding box.
        box_jitter: standard deviation of the edges of that box, see :func:`saywhere.core.robot.jittered_box`.
        step_candidates: whether it may choose another candidate mask, which is an interaction, instead of clicking: at
            most once between clicks, and when the IoU gains more than :data:`STEP_GAIN`.
        signs: the signs of the clicks, as "++-" for two positive and one negative one, see
            :func:`saywhere.core.robot.signed_click`; it begins with "+". Empty: each click corrects what is wrong.
        max_clicks: how many clicks the method takes; None: any number.
        negative_clicks: whether it takes clicks off the object; without them the robot clicks what is missing.
    """

    max_interactions: int = MAX_INTERACTIONS
    drag: bool = False
    target_iou: float | None = None
    phrase_at: int | None = None
    first_click: ClickPlace = "centre"
    box: bool = False
    box_jitter: float = 0.0
    step_candidates: bool = False
    signs: str = ""
    max_clicks: int | None = None
    negative_clicks: bool = True

    def accepts(self, iou: float) -> bool:
        """Whether a mask of this IoU is good enough."""
        return self.target_iou is not None and iou >= self.target_iou


@dataclass(frozen=True)
class GroundTruth:
    """What the robot user knows of an object: its ``(H, W)`` mask, and the pixels that do not count."""

    name: str
    label: str | None
    phrase: str | None
    target: BoolArray
    ignore: BoolArray | None

    @classmethod
    def of(cls, sample: Sample) -> GroundTruth:
        """Read the masks of a sample."""
        return cls(sample.name, sample.label, sample.phrase, sample.target(), sample.ignore())

    @property
    def counted(self) -> BoolArray:
        """``(H, W)``: the pixels of the object that count."""
        return self.target if self.ignore is None else self.target & ~self.ignore

    def random(self) -> np.random.Generator:
        """Random numbers for this object: the same ones in every run, whatever the method."""
        return np.random.default_rng([ROBOT_SEED, zlib.crc32(self.name.encode())])

    def iou(self, predicted: BoolArray) -> float:
        """IoU of a mask with the object."""
        return metrics.iou(predicted, self.target, self.ignore)


class InteractiveSegmenter(Protocol):
    """What the benchmark needs of a Segmenter; any object with these methods can be measured.

    Attributes:
        candidates: the masks that the network gives for the present prompt.
        candidate: index of the present mask among them.
    """

    @property
    def candidates(self) -> Sequence[Mask]: ...

    @property
    def candidate(self) -> int: ...

    def set_image(self, image: ImageArray, /) -> Any: ...

    def add(self, click: Click) -> Mask: ...

    def say(self, phrase: str | None) -> Mask | None: ...

    def box(self, x0: float, y0: float, x1: float, y1: float) -> Mask: ...

    def choose(self, index: int) -> Mask: ...


def first_action(user: RobotUser, truth: GroundTruth) -> Action:
    """What the robot user does first. Errors as for :func:`first_click`."""
    click = first_click(user, truth)
    if user.box:
        return robot.jittered_box(truth.counted, user.box_jitter, truth.random())
    return click if truth.phrase is None or user.phrase_at != 0 else truth.phrase


def first_click(user: RobotUser, truth: GroundTruth) -> Click:
    """The first click of the robot user on an object.

    The place of one that is not at the centre is drawn at random, for an object the same in every run.

    Raises:
        SaywhereError: the object has no counted pixel.
    """
    centre = robot.first_click(truth.target, truth.ignore, user.drag)
    if user.first_click == "centre":
        return centre
    click = robot.click_at(user.first_click, truth.counted, truth.random())
    if not user.drag:
        return click
    return replace(click, radius=float(robot.boundary_distance(truth.counted)[int(click.y), int(click.x)]))


def next_action(
    user: RobotUser,
    segmenter: InteractiveSegmenter,
    truth: GroundTruth,
    predicted: BoolArray,
    k: int,
    previous: Action,
    clicks: int = 0,
) -> Action | None:
    """What the robot user does after a mask.

    Args:
        user: the robot user.
        segmenter: gives the candidate masks.
        truth: the object.
        predicted: ``(H, W)``, the mask.
        k: the number of the interaction to come.
        previous: the action before.
        clicks: how many clicks there were.

    Returns:
        The action; None when no counted pixel is wrong, or the method takes no click that corrects one.
    """
    if user.signs:
        number = k - 1 - (user.phrase_at is not None and user.phrase_at < k - 1)  # clicks before this one
        positive = user.signs[min(number, len(user.signs) - 1)] == "+"
        click = robot.signed_click(truth.target, predicted, positive, truth.ignore, user.drag)
    else:
        click = robot.next_click(truth.target, predicted, truth.ignore, user.drag)
    if click is None:
        return None
    if truth.phrase is not None and user.phrase_at == k - 1:
        return truth.phrase
    if user.step_candidates and not isinstance(previous, int):
        choice = better_candidate(segmenter, truth, truth.iou(predicted))
        if choice is not None:
            return choice
    if user.max_clicks is not None and clicks >= user.max_clicks:
        return None
    if click.positive or user.negative_clicks:
        return click
    return robot.next_click(truth.target, predicted & truth.target, truth.ignore, user.drag)


def better_candidate(segmenter: InteractiveSegmenter, truth: GroundTruth, iou: float) -> int | None:
    """The index of the best candidate mask, if it is another one than the present and worth an interaction.

    Args:
        segmenter: gives the candidates; their masks are taken as they are, before a new crop is decoded for them.
        truth: the object.
        iou: IoU of the present mask.
    """
    ious = [truth.iou(candidate.array) for candidate in segmenter.candidates]
    best = max(range(len(ious)), key=ious.__getitem__, default=None)
    if best is None or best == segmenter.candidate or ious[best] <= iou + STEP_GAIN:
        return None
    return best


def answer(segmenter: InteractiveSegmenter, action: Action, previous: Mask | None) -> Mask | None:
    """The mask after one more action.

    A phrase that is of no use leaves the ``previous`` mask as it is, and counts as an interaction all the same.
    """
    if isinstance(action, Click):
        return segmenter.add(action)
    if isinstance(action, int):
        return segmenter.choose(action)
    if isinstance(action, tuple):
        return segmenter.box(*action)
    try:
        return segmenter.say(action)
    except PhraseError:
        return previous


def mask_array(mask: Mask | None, truth: GroundTruth) -> BoolArray:
    """``(H, W)``: the pixels of a mask, none without one."""
    return np.zeros_like(truth.target) if mask is None else mask.array
