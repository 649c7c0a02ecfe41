"""The robot user works through one object with a Segmenter; every interaction is a record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from saywhere.core import metrics, robot
from saywhere.core.arrays import ImageArray
from saywhere.core.images import read_image
from saywhere.core.mask import Mask
from saywhere.core.prompt import Click, Prompt
from saywhere.core.rle import RunLengths
from saywhere.data.datasets import Sample
from saywhere.errors import PhraseError, SaywhereError
from saywhere.runtime.timed import TimedRuntime, milliseconds


@dataclass(frozen=True, slots=True)
class Interaction:
    """What was said of an object, what came of it, and how long it took.

    ``k`` counts from 1, or from 0 where a first click was proposed and right, which costs no interaction; ``ms`` is the
    whole answer (on the first, with the photograph's encoding), of which ``encode_ms`` and ``decode_ms`` were spent in
    the network; ``mask`` is COCO's compressed run lengths; ``last`` marks the end of the object: nothing is wrong any
    more, or the robot's patience is. A ``phrase`` has no ``x`` and ``y``, a click no phrase.
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

    @property
    def click(self) -> Click | None:
        return None if self.x is None or self.y is None else Click(self.x, self.y, self.positive, self.radius)


def prompt_of(interactions: Iterable[Interaction]) -> Prompt:
    """All that some interactions of one object said."""
    some = list(interactions)
    said = [i.phrase for i in some if i.phrase is not None]
    return Prompt(tuple(i.click for i in some if i.click is not None), said[-1] if said else None)


class Answerer(Protocol):
    """What the benchmark needs of a Segmenter; a method of one's own may be anything that does this."""

    def set_image(self, photo: ImageArray) -> Any: ...

    def add(self, click: Click) -> Mask: ...

    def say(self, phrase: str | None) -> Mask | None: ...


def work_through(
    segmenter: Answerer,
    timed: TimedRuntime,
    sample: Sample,
    most: int,
    drag: bool = False,
    before: Sequence[Interaction] = (),
    phrase_at: int | None = None,
) -> Iterator[Interaction]:
    """The interactions of one object, up to ``most`` or until nothing is wrong.

    The sample's phrase is said when ``phrase_at`` interactions have been made, never if None. Reading the photograph
    and the robot's own work are not timed. ``before`` are the interactions that an interrupted run already had: they
    are said again, not measured again.
    """
    target, ignore = sample.target(), sample.ignore()
    photo = photo_of(sample, target)
    timed.take()
    started = time.perf_counter()
    segmenter.set_image(photo)
    spent = milliseconds(started)
    predicted = np.zeros_like(target)
    for past in before:
        predicted = answer(segmenter, past.phrase if past.click is None else past.click, predicted)
        timed.take()
        spent = 0.0
    k = len(before)
    # The first click is by its own rule: with nothing found yet it would be the largest part's centre.
    click = robot.next_click(target, predicted, ignore, drag) if k else robot.first_click(target, ignore, drag)
    while click is not None and k < most:
        phrase = sample.phrase if k == phrase_at else None
        started = time.perf_counter()
        predicted = answer(segmenter, click if phrase is None else phrase, predicted)
        spent += milliseconds(started)
        encode_ms, decode_ms = timed.take()
        k += 1
        following = robot.next_click(target, predicted, ignore, drag)
        yield Interaction(
            object=sample.name,
            label=sample.label,
            k=k,
            x=click.x if phrase is None else None,
            y=click.y if phrase is None else None,
            positive=click.positive,
            radius=click.radius if phrase is None else None,
            iou=metrics.iou(predicted, target, ignore),
            boundary_iou=metrics.boundary_iou(predicted, target, ignore),
            ms=spent,
            encode_ms=encode_ms,
            decode_ms=decode_ms,
            mask=RunLengths.from_mask(predicted).text,
            last=following is None or k == most,
            phrase=phrase,
        )
        click, spent = following, 0.0


def photo_of(sample: Sample, target: NDArray[np.bool_]) -> ImageArray:
    """A sample's photograph; SaywhereError when its mask is of another size."""
    photo = read_image(sample.photo)
    if photo.shape[:2] != target.shape:
        raise SaywhereError(
            f"object '{sample.name}': its mask is {target.shape[1]}x{target.shape[0]}, "
            f"the photograph {sample.photo} is {photo.shape[1]}x{photo.shape[0]}"
        )
    return photo


def answer(segmenter: Answerer, said: Click | str | None, before: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The mask after one more click or phrase; the one ``before`` when the phrase is of no use, which costs the
    interaction all the same."""
    try:
        mask = segmenter.add(said) if isinstance(said, Click) else segmenter.say(said)
    except PhraseError:
        return before
    assert mask is not None, "something was said"
    return mask.array
