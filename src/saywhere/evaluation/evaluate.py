"""The robot user segments one object with a Segmenter; every interaction is a record."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np

from saywhere.core import metrics, robot
from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.geometry import Box
from saywhere.core.images import read_image
from saywhere.core.mask import Mask
from saywhere.core.metrics import MAX_INTERACTIONS
from saywhere.core.prompt import Click, Prompt
from saywhere.core.rle import RunLengths
from saywhere.core.robot import ClickPlace
from saywhere.data.datasets import Sample
from saywhere.errors import PhraseError, SaywhereError
from saywhere.runtime.timed import TimedRuntime, milliseconds

Action = Click | str | Box | int
"""What a robot user does: a click or drag, a phrase, a box, or the choice of a candidate mask by its index."""
ROBOT_SEED = 0  # with the object's name it seeds what is drawn: a first click off the centre, the jitter of a box
STEP_GAIN = 0.05  # by how much the IoU of another candidate must be higher for a robot to choose it instead of clicking


@dataclass(frozen=True, slots=True)
class Interaction:
    """One action of the robot user, the quality of the mask after it, and the time that the answer took.

    Attributes:
        object: the object's name.
        label: its label, if it has one.
        k: the number of the interaction, from 1; 0 is a proposed first click that was right and costs nothing.
        x, y: the click in pixels of the image; None where the action is something else.
        positive: whether the click is on the object.
        radius: radius of a drag, in pixels.
        iou: IoU of the mask with the ground truth.
        boundary_iou: boundary IoU of the mask.
        ms: milliseconds of the whole answer; for the first interaction with the image's encoding.
        encode_ms, decode_ms: milliseconds of it that the network spent encoding and decoding.
        mask: COCO's compressed run lengths.
        last: whether the robot stops here: the mask is accepted, or no further interaction is allowed.
        phrase: the phrase, for an interaction that is one.
        candidate_ious: IoU of every candidate mask after a first click or box, by the network's output; None where it
            is not measured.
        score: the IoU that the mask's own probabilities lead to expect (:attr:`Mask.score`); None in journals of
            earlier releases.
        predicted_iou: the IoU that the network predicts for the mask; None where it gives one mask only.
        candidate: the network's output that the mask is; None where it gives one mask only.
        box: the box, for an interaction that is one.
        choice: the index of the chosen mask among the candidates, for an interaction that is a choice.
    """

    object: str
    label: str | None
    k: int
    x: float | None
    y: float | None
    positive: bool
    radius: float | None
    iou: float
    boundary_iou: float
    ms: float
    encode_ms: float
    decode_ms: float
    mask: str
    last: bool
    phrase: str | None = None
    candidate_ious: tuple[float, ...] | None = None
    score: float | None = None
    predicted_iou: float | None = None
    candidate: int | None = None
    box: Box | None = None
    choice: int | None = None

    @property
    def click(self) -> Click | None:
        """The click; None where the action is something else."""
        return None if self.x is None or self.y is None else Click(self.x, self.y, self.positive, self.radius)

    @property
    def action(self) -> Action:
        """What the robot user did."""
        actions: tuple[Action | None, ...] = (self.click, self.phrase, self.box, self.choice)
        return next(action for action in actions if action is not None)


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
    """

    max_interactions: int = MAX_INTERACTIONS
    drag: bool = False
    target_iou: float | None = None
    phrase_at: int | None = None
    first_click: ClickPlace = "centre"
    box: bool = False
    box_jitter: float = 0.0
    step_candidates: bool = False

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


def prompt_of(interactions: Iterable[Interaction]) -> Prompt:
    """The prompt that some interactions with one object add up to."""
    prompt = Prompt()
    for interaction in interactions:
        if interaction.click is not None:
            prompt = prompt.with_click(interaction.click)
        elif interaction.phrase is not None:
            prompt = prompt.with_phrase(interaction.phrase)
        elif interaction.box is not None:
            prompt = prompt.with_box(interaction.box)
    return prompt


def segment_object(
    user: RobotUser,
    segmenter: InteractiveSegmenter,
    timed: TimedRuntime,
    sample: Sample,
    previous: Sequence[Interaction] = (),
) -> Iterator[Interaction]:
    """Segment one object from the start, or from where an interrupted run stopped.

    Reading the image and the robot's own work are not timed.

    Args:
        user: the robot user.
        segmenter: the segmenter.
        timed: its runtime.
        sample: the object.
        previous: the interactions that an interrupted run has already: they are repeated, not measured again.

    Yields:
        The interactions that follow ``previous``, until the robot accepts the mask or gives up.

    Raises:
        SaywhereError: the image cannot be read, has another size than the mask, or the object has no counted pixel.
    """
    truth = GroundTruth.of(sample)
    image = read_sample_image(sample, truth.target)
    timed.take()
    started = time.perf_counter()
    segmenter.set_image(image)
    ms = milliseconds(started)
    mask: Mask | None = None
    for interaction in previous:
        mask = answer(segmenter, interaction.action, mask)
        timed.take()
        ms = 0.0
    k = len(previous) + 1
    if k > user.max_interactions:
        return
    # The first click has a rule of its own: next_click would choose the centre of the object's largest part.
    if previous:
        action = next_action(user, segmenter, truth, mask_array(mask, truth), k, previous[-1].action)
    else:
        action = first_action(user, truth)
    yield from interact(user, segmenter, timed, truth, action, k, mask, ms)


def interact(
    user: RobotUser,
    segmenter: InteractiveSegmenter,
    timed: TimedRuntime,
    truth: GroundTruth,
    action: Action | None,
    k: int = 1,
    mask: Mask | None = None,
    ms: float = 0.0,
) -> Iterator[Interaction]:
    """The loop of the robot user: act, look at the mask, choose the next action.

    Args:
        user: the robot user.
        segmenter: a segmenter with the image set.
        timed: its runtime.
        truth: the object.
        action: what to do first; None: there is nothing to do.
        k: the number of that interaction.
        mask: the mask so far; None: empty.
        ms: milliseconds that were spent already and count with the first interaction.

    Yields:
        The interactions until the robot accepts the mask or gives up.
    """
    while action is not None:
        started = time.perf_counter()
        mask = answer(segmenter, action, mask)
        predicted = mask_array(mask, truth)
        ms += milliseconds(started)
        encode_ms, decode_ms = timed.take()
        iou = truth.iou(predicted)
        stops = user.accepts(iou) or k == user.max_interactions
        following = None if stops else next_action(user, segmenter, truth, predicted, k + 1, action)
        times = ms, encode_ms, decode_ms
        yield _interaction(truth, k, action, mask, predicted, times, last=following is None)
        action, ms, k = following, 0.0, k + 1


def _interaction(
    truth: GroundTruth,
    k: int,
    action: Action,
    mask: Mask | None,
    predicted: BoolArray,
    times: tuple[float, float, float],
    last: bool,
) -> Interaction:
    """The record of an action and the mask after it."""
    click = action if isinstance(action, Click) else None
    predicted_iou = None if mask is None else mask.predicted_iou
    return Interaction(
        object=truth.name,
        label=truth.label,
        k=k,
        x=None if click is None else click.x,
        y=None if click is None else click.y,
        positive=click is None or click.positive,
        radius=None if click is None else click.radius,
        iou=truth.iou(predicted),
        boundary_iou=metrics.boundary_iou(predicted, truth.target, truth.ignore),
        ms=times[0],
        encode_ms=times[1],
        decode_ms=times[2],
        mask=RunLengths.from_mask(predicted).text,
        last=last,
        phrase=action if isinstance(action, str) else None,
        score=None if mask is None else mask.score,
        predicted_iou=predicted_iou,
        candidate=None if mask is None or predicted_iou is None else mask.candidate,
        box=action if isinstance(action, tuple) else None,
        choice=action if isinstance(action, int) else None,
    )


def first_action(user: RobotUser, truth: GroundTruth) -> Action:
    """What the robot user does first. Errors as for :func:`first_click`."""
    click = first_click(user, truth)
    if user.box:
        return robot.jittered_box(truth.counted, user.box_jitter, truth.random())
    return click if truth.phrase is None or user.phrase_at != 0 else truth.phrase


def next_action(
    user: RobotUser,
    segmenter: InteractiveSegmenter,
    truth: GroundTruth,
    predicted: BoolArray,
    k: int,
    previous: Action,
) -> Action | None:
    """What the robot user does after a mask.

    Args:
        user: the robot user.
        segmenter: gives the candidate masks.
        truth: the object.
        predicted: ``(H, W)``, the mask.
        k: the number of the interaction to come.
        previous: the action before.

    Returns:
        The action; None when no counted pixel is wrong.
    """
    click = robot.next_click(truth.target, predicted, truth.ignore, user.drag)
    if click is None:
        return None
    if truth.phrase is not None and user.phrase_at == k - 1:
        return truth.phrase
    if user.step_candidates and not isinstance(previous, int):
        choice = better_candidate(segmenter, truth, truth.iou(predicted))
        return click if choice is None else choice
    return click


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


def read_sample_image(sample: Sample, target: BoolArray) -> ImageArray:
    """Read a sample's image.

    Args:
        sample: the object.
        target: its ``(H, W)`` mask.

    Returns:
        ``(H, W, 3)`` uint8 RGB.

    Raises:
        SaywhereError: the image cannot be read, or has another size than the mask.
    """
    image = read_image(sample.image_path)
    if image.shape[:2] != target.shape:
        raise SaywhereError(
            f"object '{sample.name}': its mask is {target.shape[1]}x{target.shape[0]}, "
            f"the photograph {sample.image_path} is {image.shape[1]}x{image.shape[0]}"
        )
    return image


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
