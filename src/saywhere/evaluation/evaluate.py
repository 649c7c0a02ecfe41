"""The robot user segments one object with a Segmenter; every interaction is a record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from saywhere.core import metrics
from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.geometry import Box
from saywhere.core.images import read_image
from saywhere.core.mask import Mask
from saywhere.core.prompt import Click, Prompt
from saywhere.core.rle import RunLengths
from saywhere.data.datasets import Sample
from saywhere.errors import SaywhereError
from saywhere.evaluation.robot_user import (
    Action,
    GroundTruth,
    InteractiveSegmenter,
    RobotUser,
    answer,
    first_action,
    mask_array,
    next_action,
)
from saywhere.runtime.timed import TimedRuntime, milliseconds


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
        clicks = count_clicks(i.action for i in previous)
        action = next_action(user, segmenter, truth, mask_array(mask, truth), k, previous[-1].action, clicks)
    else:
        clicks, action = 0, first_action(user, truth)
    yield from interact(user, segmenter, timed, truth, action, k, mask, ms, clicks)


def count_clicks(actions: Iterable[Action]) -> int:
    """How many of some actions are clicks or drags."""
    return sum(isinstance(action, Click) for action in actions)


def interact(
    user: RobotUser,
    segmenter: InteractiveSegmenter,
    timed: TimedRuntime,
    truth: GroundTruth,
    action: Action | None,
    k: int = 1,
    mask: Mask | None = None,
    ms: float = 0.0,
    clicks: int = 0,
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
        clicks: how many clicks there were before.

    Yields:
        The interactions until the robot accepts the mask or gives up.
    """
    while action is not None:
        started = time.perf_counter()
        mask = answer(segmenter, action, mask)
        predicted = mask_array(mask, truth)
        ms += milliseconds(started)
        encode_ms, decode_ms = timed.take()
        clicks += count_clicks([action])
        iou = truth.iou(predicted)
        stops = user.accepts(iou) or k == user.max_interactions
        following = None if stops else next_action(user, segmenter, truth, predicted, k + 1, action, clicks)
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
