"""The robot user segments one object with a Segmenter; every interaction is a record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from saywhere.core import metrics, robot
from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.images import read_image
from saywhere.core.mask import Mask
from saywhere.core.metrics import MAX_INTERACTIONS
from saywhere.core.prompt import Click, Prompt
from saywhere.core.rle import RunLengths
from saywhere.data.datasets import Sample
from saywhere.errors import PhraseError, SaywhereError
from saywhere.runtime.timed import TimedRuntime, milliseconds


@dataclass(frozen=True, slots=True)
class Interaction:
    """One click, drag or phrase: the prompt, the quality of the mask after it, and the time that the answer took.

    Attributes:
        object: the object's name.
        label: its label, if it has one.
        k: the number of the interaction, from 1; 0 is a proposed first click that was right and costs nothing.
        x, y: the click in pixels of the image; None for a phrase.
        positive: whether the click is on the object.
        radius: radius of a drag, in pixels.
        iou: IoU of the mask with the ground truth.
        boundary_iou: boundary IoU of the mask.
        ms: milliseconds of the whole answer; for the first interaction with the image's encoding.
        encode_ms, decode_ms: milliseconds of it that the network spent encoding and decoding.
        mask: COCO's compressed run lengths.
        last: whether the robot stops here: the mask is accepted, or no further interaction is allowed.
        phrase: the phrase, for an interaction that is one.
        candidate_ious: IoU of every candidate mask after a first click, by number; None where it is not measured.
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

    @property
    def click(self) -> Click | None:
        """The click, or None for a phrase."""
        return None if self.x is None or self.y is None else Click(self.x, self.y, self.positive, self.radius)


@dataclass(frozen=True)
class RobotUser:
    """What the simulated person does with each object.

    Attributes:
        max_interactions: when it gives up.
        drag: whether each click is dragged to the boundary of its region.
        target_iou: the IoU at which it accepts a mask; None: it goes on until no pixel is wrong.
        phrase_at: how many interactions come before the object's phrase; None: it gives no phrase.
    """

    max_interactions: int = MAX_INTERACTIONS
    drag: bool = False
    target_iou: float | None = None
    phrase_at: int | None = None

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


class InteractiveSegmenter(Protocol):
    """What the benchmark needs of a Segmenter; any object with these methods can be measured."""

    def set_image(self, image: ImageArray, /) -> Any: ...

    def add(self, click: Click) -> Mask: ...

    def say(self, phrase: str | None) -> Mask | None: ...


def prompt_of(interactions: Iterable[Interaction]) -> Prompt:
    """The prompt that some interactions with one object add up to."""
    done = list(interactions)
    phrases = [i.phrase for i in done if i.phrase is not None]
    return Prompt(tuple(i.click for i in done if i.click is not None), phrases[-1] if phrases else None)


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
    predicted = np.zeros_like(truth.target)
    for interaction in previous:
        predicted = answer(segmenter, interaction.click or interaction.phrase, predicted)
        timed.take()
        ms = 0.0
    if len(previous) >= user.max_interactions:
        return
    # The first click has a rule of its own: next_click would choose the centre of the object's largest part.
    click = (
        robot.next_click(truth.target, predicted, truth.ignore, user.drag)
        if previous
        else robot.first_click(truth.target, truth.ignore, user.drag)
    )
    yield from interact(user, segmenter, timed, truth, click, len(previous) + 1, predicted, ms)


def interact(
    user: RobotUser,
    segmenter: InteractiveSegmenter,
    timed: TimedRuntime,
    truth: GroundTruth,
    click: Click | None,
    k: int = 1,
    predicted: BoolArray | None = None,
    ms: float = 0.0,
) -> Iterator[Interaction]:
    """The loop of the robot user: click, look at the mask, choose the next click.

    Args:
        user: the robot user.
        segmenter: a segmenter with the image set.
        timed: its runtime.
        truth: the object.
        click: the first click to give; None: there is nothing to do.
        k: the number of that interaction.
        predicted: the mask so far; None: empty.
        ms: milliseconds that were spent already and count with the first interaction.

    Yields:
        The interactions until the robot accepts the mask or gives up.
    """
    predicted = np.zeros_like(truth.target) if predicted is None else predicted
    while click is not None:
        phrase = truth.phrase if k - 1 == user.phrase_at else None
        started = time.perf_counter()
        predicted = answer(segmenter, click if phrase is None else phrase, predicted)
        ms += milliseconds(started)
        encode_ms, decode_ms = timed.take()
        iou = metrics.iou(predicted, truth.target, truth.ignore)
        stops = user.accepts(iou) or k == user.max_interactions
        following = None if stops else robot.next_click(truth.target, predicted, truth.ignore, user.drag)
        yield Interaction(
            object=truth.name,
            label=truth.label,
            k=k,
            x=click.x if phrase is None else None,
            y=click.y if phrase is None else None,
            positive=click.positive,
            radius=click.radius if phrase is None else None,
            iou=iou,
            boundary_iou=metrics.boundary_iou(predicted, truth.target, truth.ignore),
            ms=ms,
            encode_ms=encode_ms,
            decode_ms=decode_ms,
            mask=RunLengths.from_mask(predicted).text,
            last=following is None,
            phrase=phrase,
        )
        click, ms, k = following, 0.0, k + 1


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


def answer(segmenter: InteractiveSegmenter, prompt: Click | str | None, previous: BoolArray) -> BoolArray:
    """The mask after one more click or phrase.

    A phrase that is of no use leaves the ``previous`` mask as it is, and counts as an interaction all the same.
    """
    try:
        mask = segmenter.add(prompt) if isinstance(prompt, Click) else segmenter.say(prompt)
    except PhraseError:
        return previous
    assert mask is not None, "there is a click or a phrase"
    return mask.array
