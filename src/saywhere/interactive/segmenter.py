"""One image, its prompt and its masks: what a person or a program works with."""

from __future__ import annotations

import contextlib
import functools
import math
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.deprecation import renamed_arguments, renamed_methods
from saywhere.core.geometry import Box
from saywhere.core.images import read_image
from saywhere.core.mask import Mask
from saywhere.core.numbers import describe, finite_number, whole_number
from saywhere.core.processes import renew_after_fork
from saywhere.core.prompt import Click, Prompt, checked_box
from saywhere.core.relevance import PRESENT_FROM, Proposal, relevance_at, relevance_peak
from saywhere.core.settings import CANDIDATE_CHOICES, Settings
from saywhere.errors import NoMapError, PhraseError, SaywhereError
from saywhere.interactive import sam
from saywhere.interactive.decoding import Answer, DecoderInput, MaskDecoder
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.interactive.phrase_click import knows, phrase_click
from saywhere.interactive.refine import REFINEMENTS
from saywhere.runtime.base import PurifyingRuntime, Runtime
from saywhere.runtime.metadata import resolve_settings
from saywhere.text.words import shipped_words

Given = ParamSpec("Given")
Returned = TypeVar("Returned")


@dataclass(frozen=True)
class Step:
    """What one interaction led to.

    Attributes:
        prompt: all clicks, the phrase and the box.
        answer: the mask and its candidates; None without a prompt.
        output: the network's output that was chosen, which later clicks keep to; None: the predicted IoU chooses.
        choices: how many candidates were chosen so far.
        is_kept: whether a further positive click keeps this mask: it is from a positive click or was chosen. A phrase
            or a box alone may have given another object than the click is on.
    """

    prompt: Prompt = field(default_factory=Prompt)
    answer: Answer | None = None
    output: int | None = None
    choices: int = 0
    is_kept: bool = False


def _one_at_a_time(
    method: Callable[Concatenate[Segmenter, Given], Returned],
) -> Callable[Concatenate[Segmenter, Given], Returned]:
    """A method of a Segmenter that waits until another thread's is finished."""

    @functools.wraps(method)
    def call(self: Segmenter, /, *args: Given.args, **arguments: Given.kwargs) -> Returned:
        with self._lock:
            return method(self, *args, **arguments)

    return call


@renamed_methods(
    another="new_object", heat="relevance_map", heat_seen="relevance_in_crop", scene="encoded", runner="runtime"
)
class Segmenter:
    """Segments one object at a time on one image: click, drag, box, say, choose, undo.

    The first mask comes from the whole image and then from a crop around what was found; later ones come from that
    crop, whose features are kept, until the object no longer fits it.

    Threads may share a Segmenter: one interaction waits for the other, and none is lost. Copies (``copy.deepcopy``)
    share the image and its features; pickled ones, such as those sent to another process, encode the image again there.
    In a forked process it goes on with threads of its own.

    Args:
        runtime: the network; :func:`saywhere.load` makes a Segmenter of a name.
        settings: how to crop, decode and post-process; what they leave to the network, such as the size, is filled in.

    Raises:
        SaywhereError: the settings name a refinement that does not exist, or a size that the network cannot take.

    Example:
        >>> import numpy as np
        >>> import saywhere
        >>> image = np.zeros((48, 64, 3), np.uint8)
        >>> image[10:30, 20:50] = 255
        >>> segmenter = saywhere.load().set_image(image)
        >>> segmenter.click(35, 20).array.shape
        (48, 64)
        >>> segmenter.undo() is None
        True
    """

    def __init__(self, runtime: Runtime, settings: Settings | None = None) -> None:
        self.runtime = runtime
        self.settings = resolve_settings(runtime, settings or Settings())
        if self.settings.refine not in (None, *REFINEMENTS):
            raise SaywhereError(f"refine '{self.settings.refine}': choose {', '.join(REFINEMENTS)}, or None")
        if self.settings.candidate_choice not in CANDIDATE_CHOICES:
            choices = ", ".join(CANDIDATE_CHOICES)
            raise SaywhereError(f"candidate_choice '{self.settings.candidate_choice}': choose {choices}")
        self._encoded: EncodedImage | None = None
        self._history = [Step()]
        self._position = 0
        self._own_lock()

    # Threads, processes, copies

    def _own_lock(self) -> None:
        self._lock = threading.RLock()
        renew_after_fork(self)

    def after_fork(self) -> None:
        """A lock that no thread of the parent process holds."""
        self._lock = threading.RLock()

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._own_lock()

    def __copy__(self) -> Self:
        """A Segmenter of its own with the same image and interactions; what both share never changes."""
        with self._lock:
            other = object.__new__(type(self))
            other.__setstate__({**self.__getstate__(), "_history": [*self._history]})
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    # The image

    @renamed_arguments(photo="image")
    @_one_at_a_time
    def set_image(self, image: str | Path | Image.Image | NDArray[Any]) -> Segmenter:
        """Read and encode an image; forgets all interactions.

        Args:
            image: a path, a PIL image, or ``(H, W, 3)`` uint8 RGB.

        Returns:
            This Segmenter.

        Raises:
            SaywhereError: the image cannot be read; the one before stays.
        """
        pixels = read_image(image)
        longer_side = max(pixels.shape[:2])
        size = self.settings.size if self.settings.enlarge else min(self.settings.size, longer_side)
        encoded = EncodedImage(self.runtime, pixels, size)
        encoded.features(encoded.full_crop)
        self._encoded = encoded
        self.reset()
        return self

    @_one_at_a_time
    def new_object(self, runtime: PurifyingRuntime | None = None) -> Segmenter:
        """A Segmenter for one more object of the same image, which is not encoded again.

        Args:
            runtime: one that differs from this one's in its purification layer alone, as a sequence's do.
        """
        other = Segmenter(runtime or self.runtime, self.settings)
        other._encoded = self.encoded if runtime is None else self.encoded.purified(runtime)
        return other

    @property
    def encoded(self) -> EncodedImage:
        """The image and its features.

        Raises:
            SaywhereError: there is no image yet.
        """
        if self._encoded is None:
            raise SaywhereError("no photograph yet: call set_image first")
        return self._encoded

    # Interactions

    @property
    def prompt(self) -> Prompt:
        """All clicks and drags so far, the phrase and the box."""
        return self._step.prompt

    @property
    def interactions(self) -> int:
        """How many interactions led to the present mask: clicks, drags, phrase, box and choices of a candidate."""
        return len(self.prompt) + self._step.choices

    @property
    def mask(self) -> Mask | None:
        """The mask for the prompt so far; None without one."""
        answer = self._step.answer
        return None if answer is None else answer.mask

    @property
    def candidates(self) -> tuple[Mask, ...]:
        """The masks that the network gives for the prompt so far, smallest area first; empty without a prompt.

        They are of the crop of the present mask, which is one of them. A network with one mask gives that one.
        """
        answer = self._step.answer
        return () if answer is None else answer.candidates

    @property
    def candidate(self) -> int:
        """The index of the present mask in :attr:`candidates`; 0 without a prompt."""
        mask = self.mask
        return next((i for i, each in enumerate(self.candidates) if each is mask), 0)

    def click(self, x: float, y: float, positive: bool = True) -> Mask:
        """Click on the object, or off it.

        Args:
            x: pixels from the left.
            y: pixels from the top.
            positive: whether the pixel belongs to the object.

        Raises:
            SaywhereError: there is no image, the click is outside it, or the network takes no such click, for example
                no negative one or no second one; nothing is changed.
        """
        return self.add(Click(x, y, positive))

    def drag(
        self, x: float, y: float, to: tuple[float, float] | None = None, radius: float | None = None,
        positive: bool = True,
    ) -> Mask:  # fmt: skip
        """Press at a region's centre and release at its nearest boundary.

        Args:
            x: pixels from the left.
            y: pixels from the top.
            to: where the drag ends; or give the radius.
            radius: length of the drag, in pixels.
            positive: whether the region belongs to the object.

        Raises:
            SaywhereError: both or none of ``to`` and ``radius`` are given, the network takes no drags, or as for
                :meth:`click`.
        """
        if (to is None) == (radius is None):
            raise SaywhereError("drag: give either to=(x, y) or radius=pixels")
        if to is not None:
            radius = _distance(x, y, to)
        return self.add(Click(x, y, positive, radius))

    @_one_at_a_time
    def add(self, click: Click) -> Mask:
        """Add a click or drag; what was undone before is forgotten. Arguments and errors as for :meth:`click`."""
        before = self.mask
        prompt = self.prompt.with_click(self._check_click(click))
        self._check_clicks(prompt.clicks)
        keeps = self.settings.keep_clicked and click.positive and self._step.is_kept
        given = replace(
            self._decoder_input(prompt),
            previous=before,
            use_previous=len(prompt) >= self.settings.previous_mask_from,
            kept=before if keeps else None,
            output=self._step.output,
        )
        answer = self._decoder().decode(given)
        is_kept = any(c.positive for c in prompt.clicks)
        self._remember(replace(self._step, prompt=prompt, answer=answer, is_kept=is_kept))
        return answer.mask

    @_one_at_a_time
    def box(self, x0: float, y0: float, x1: float, y1: float) -> Mask:
        """Give the box around the object, or another one: before, between or after clicks.

        Args:
            x0: left edge, in pixels of the image; the first pixel reaches from 0 to 1.
            y0: top edge.
            x1: right edge.
            y1: bottom edge.

        Raises:
            SaywhereError: the network knows no boxes, there is no image, or the box is not finite, empty, reversed or
                outside the image; nothing is changed.
        """
        prompt = self.prompt.with_box(self._check_box((x0, y0, x1, y1)))
        # The mask before may be of a smaller or larger object than the box is around.
        answer = self._decoder().decode(self._decoder_input(prompt))
        self._remember(replace(self._step, prompt=prompt, answer=answer, output=None, is_kept=False))
        return answer.mask

    @_one_at_a_time
    def say(self, phrase: str | None) -> Mask | None:
        """Say what the object is: before, between or after clicks.

        A phrase counts as an interaction, and :meth:`undo` takes it back like any other.

        Args:
            phrase: what the object is; None removes the phrase.

        Returns:
            The mask; None when neither a phrase nor a click is left.

        Raises:
            SaywhereError: the network knows no phrases, or no word of this one; nothing is changed.
        """
        checked = self._check_phrase(phrase) if phrase is not None else None
        prompt = self.prompt.with_phrase(checked)
        if not prompt:
            self._remember(replace(self._step, prompt=prompt, answer=None, output=None, is_kept=False))
            return None
        # The mask before may be of another object than the phrase means.
        answer = self._decoder().decode(self._decoder_input(prompt))
        self._remember(replace(self._step, prompt=prompt, answer=answer, output=None, is_kept=False))
        return answer.mask

    @_one_at_a_time
    def choose(self, index: int) -> Mask:
        """Take another candidate mask, for example the whole instead of a part.

        This is an interaction, which :meth:`undo` takes back. The candidate is decoded again where it asks for another
        crop. Later clicks keep to the same output of the network, until the next choice, phrase or box.

        Args:
            index: of the mask in :attr:`candidates`.

        Raises:
            SaywhereError: there is no such candidate; nothing is changed.
        """
        step, count, number = self._step, len(self.candidates), whole_number(index)
        if step.answer is None or number is None or not 0 <= number < count:
            there_are = f"there are {count}, from 0 to {count - 1}" if count else "there is no mask yet"
            raise SaywhereError(f"candidate {describe(index)}: {there_are}")
        chosen = step.answer.candidates[number]
        given = replace(
            self._decoder_input(step.prompt),
            use_previous=len(step.prompt) >= self.settings.previous_mask_from,
            output=chosen.candidate,
        )
        answer = self._decoder().decode_choice(given, step.answer, chosen)
        self._remember(Step(step.prompt, answer, chosen.candidate, step.choices + 1, True))
        return answer.mask

    @_one_at_a_time
    def undo(self) -> Mask | None:
        """Take the last interaction back; the mask is the very one from before it."""
        self._position = max(self._position - 1, 0)
        return self.mask

    @_one_at_a_time
    def redo(self) -> Mask | None:
        """Bring back what was undone."""
        self._position = min(self._position + 1, len(self._history) - 1)
        return self.mask

    @_one_at_a_time
    def reset(self) -> None:
        """Forget the interactions, keep the image."""
        self._history, self._position = [Step()], 0

    def forget_steps(self, keep: int) -> None:
        """Free the memory of masks that can be undone to or redone, but for the last ones.

        Args:
            keep: how many interactions :meth:`undo` can still take back.
        """
        self._history = self._history[max(self._position - keep, 0) : self._position + 1]
        self._position = len(self._history) - 1

    @property
    def undoable(self) -> int:
        """How many interactions :meth:`undo` can take back."""
        return self._position

    # Phrases

    def relevance_map(self, phrase: str) -> FloatArray:
        """Where a phrase applies, whatever was clicked.

        Args:
            phrase: what to look for.

        Returns:
            ``(H, W)`` probability that the phrase applies to each pixel.

        Raises:
            SaywhereError: the network has no relevance map, or knows no word of the phrase.
        """
        relevance = self.encoded.full_crop.to_image(self.relevance_in_crop(phrase), self.encoded.size, 0.0)
        return np.clip(relevance, 0.0, 1.0)

    @_one_at_a_time
    def relevance_in_crop(self, phrase: str) -> FloatArray:
        """:meth:`relevance_map` at the size at which the whole image was encoded, however large the image is."""
        return self.encoded.relevance(self._check_phrase(phrase))

    @_one_at_a_time
    def fits(self, phrase: str) -> bool:
        """Whether a phrase seems to be about what was clicked; one that is not does not change the mask.

        Without a positive click, whether the object seems to be in the image at all. True where the network cannot
        tell, and False for a phrase that it does not know. Errors as for :meth:`say`.
        """
        checked = self._check_phrase(phrase)
        if not self.knows(checked):
            return False
        if any(c.positive for c in self.prompt.clicks):
            return self._drop_conflicting_phrase(self.prompt.with_phrase(checked)).phrase is not None
        try:
            return relevance_peak(self.encoded.relevance(checked))[1] >= PRESENT_FROM
        except NoMapError:
            return True

    def knows(self, phrase: str) -> bool:
        """Whether a phrase is near enough to those of the training to be of use; one that is not does not change masks.

        True where the weights do not say what they were trained on.
        """
        if not isinstance(phrase, str):
            raise PhraseError(f"phrase {describe(phrase)}: give text, for example 'dog'")
        return knows(self.encoded, phrase)

    @_one_at_a_time
    def propose(self, phrase: str) -> Proposal:
        """The object that a phrase alone finds; the prompt stays as it is. Errors as for :meth:`relevance_map`."""
        relevance = self.relevance_in_crop(phrase)
        click, peak = phrase_click(self.encoded, self._check_phrase(phrase))
        click = self.encoded.full_crop.click_to_image(click)
        given = self._decoder_input(Prompt((), self._check_phrase(phrase)), click)
        mask = self._decoder().decode(given).mask
        return Proposal(mask, click, peak, relevance, self.encoded.full_crop)

    def _drop_conflicting_phrase(self, prompt: Prompt) -> Prompt:
        """A prompt without its phrase if that is unknown or not relevant to what was clicked."""
        if prompt.phrase is not None and not self.knows(prompt.phrase):
            return prompt.with_phrase(None)
        least, clicked = self.settings.phrase_relevance_threshold, [c for c in prompt.clicks if c.positive]
        if prompt.phrase is None or not clicked or not (least and self.runtime.capabilities.calibrated_relevance):
            return prompt
        relevance = self.encoded.relevance(prompt.phrase)
        clicks = self.encoded.full_crop.to_crop(Prompt(tuple(clicked))).clicks
        return prompt if max(relevance_at(relevance, c) for c in clicks) >= least else prompt.with_phrase(None)

    def _effective_prompt(self, prompt: Prompt, click: Click | None) -> Prompt:
        """What the network gets.

        A phrase that conflicts with the clicks is dropped. A phrase without a positive click and without a box gets a
        click where it applies best, because the network then finds one object instead of a little of all.
        """
        if prompt.phrase is None or prompt.box is not None or any(c.positive for c in prompt.clicks):
            return self._drop_conflicting_phrase(prompt)
        if click is None:
            try:
                where, _ = phrase_click(self.encoded, prompt.phrase)
            except NoMapError:
                return prompt
            click = self.encoded.full_crop.click_to_image(where)
        if self.runtime.capabilities.salient and not self.knows(prompt.phrase):
            prompt = prompt.with_phrase(None)
        return replace(prompt, clicks=(*prompt.clicks, click))

    # SAM's contract

    @_one_at_a_time
    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        text: str | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = False,
        box: ArrayLike | None = None,
    ) -> tuple[BoolArray, FloatArray, FloatArray]:
        """Masks for a whole prompt at once, with the array shapes of SAM's predictor.

        The interactions of this Segmenter are neither used nor changed.

        Args:
            point_coords: ``(N, 2)`` x and y in pixels.
            point_labels: ``(N,)``, 1 positive, 0 negative; 2 and 3 the top left and bottom right corner of a box; -1 no
                point.
            text: a phrase.
            mask_input: ``(1, 256, 256)`` logits of an earlier call.
            multimask_output: whether to return all candidate masks instead of one, smallest area first; for a network
                with one mask, three masks of different thresholds.
            box: ``(4,)`` or ``(1, 4)`` left, top, right and bottom edge in pixels.

        Returns:
            Masks ``(C, H, W)`` bool, scores ``(C,)``, and logits ``(C, 256, 256)`` of the image scaled to a longer
            side of 256 and padded at the right or bottom. The scores are the predicted IoU, or for a network with one
            mask the expected IoU.

        Raises:
            SaywhereError: the prompt is empty, an array has another shape, a click or the box is outside the image, or
                the network knows no boxes or takes no such clicks.
        """
        phrase = None if text is None else self._check_phrase(text)
        clicks, edges = sam.read_prompt(point_coords, point_labels, box)
        checked = None if edges is None else self._check_box(edges)
        prompt = Prompt(tuple(self._check_click(click) for click in clicks), phrase, checked)
        self._check_clicks(prompt.clicks)
        if not prompt:
            raise SaywhereError("no prompt: give point_coords and point_labels, box, or text")
        given = self._decoder_input(prompt)
        if mask_input is not None:
            previous = sam.read_mask_input(mask_input, self.encoded.size, self.settings.threshold)
            given = replace(given, previous=previous, use_previous=True)
        answer = self._decoder().decode(given)
        if not multimask_output:
            return sam.as_arrays([answer.mask])
        if len(answer.candidates) == 1:
            return sam.as_arrays(sam.with_thresholds(answer.mask))
        return sam.as_arrays([self._zoomed(given, answer, each) for each in answer.candidates])

    def _zoomed(self, given: DecoderInput, answer: Answer, candidate: Mask) -> Mask:
        """A candidate in the crop that it asks for."""
        return self._decoder().decode_choice(replace(given, output=candidate.candidate), answer, candidate).mask

    # Checks

    def _check_phrase(self, phrase: str) -> str:
        if not isinstance(phrase, str):
            raise PhraseError(f"phrase {describe(phrase)}: give text, for example 'dog'")
        if not self.runtime.capabilities.phrases:
            raise PhraseError(
                f"phrase {phrase[:60]!r}: weights '{self.runtime.name}' understand no phrases; use clicks"
            )
        return (self.runtime.capabilities.words or shipped_words()).check_phrase(phrase)

    def _check_click(self, click: Click) -> Click:
        h, w = self.encoded.size
        if not isinstance(click, Click):
            raise SaywhereError(f"click {describe(click)}: give a Click, or call click(x, y)")
        if click.radius is not None and click.radius > h + w:
            raise SaywhereError(f"drag radius {click.radius:g}: longer than the photograph, which is {w}x{h} pixels")
        if not (-0.5 <= click.x <= w - 0.5 and -0.5 <= click.y <= h - 0.5):
            raise SaywhereError(f"click at ({click.x:g}, {click.y:g}): outside the photograph, which is {w}x{h} pixels")
        return click

    def _check_clicks(self, clicks: Sequence[Click]) -> None:
        problem = self.runtime.capabilities.click_problem(clicks, self.runtime.name)
        if problem is not None:
            raise SaywhereError(problem)

    def _check_box(self, box: Sequence[float]) -> Box:
        if not self.runtime.capabilities.boxes:
            raise SaywhereError(f"box: weights '{self.runtime.name}' understand no boxes; use clicks")
        return checked_box(box, self.encoded.size)

    # Segmentation

    @property
    def _step(self) -> Step:
        return self._history[self._position]

    def _remember(self, step: Step) -> None:
        self._history = [*self._history[: self._position + 1], step]
        self._position += 1

    def _decoder(self) -> MaskDecoder:
        return MaskDecoder(self.runtime, self.encoded, self.settings)

    def _decoder_input(self, prompt: Prompt, click: Click | None = None) -> DecoderInput:
        """What the network gets of a prompt; for ``click`` see :meth:`_effective_prompt`."""
        effective = self._effective_prompt(prompt, click)
        # What a phrase alone means may be in several places, so all components stay.
        min_share = self.settings.unclicked_components if any(c.positive for c in prompt.clicks) else 0.0
        return DecoderInput(effective, min_share=min_share)


def _distance(x: float, y: float, to: tuple[float, float]) -> float:
    """The length of a drag from (x, y)."""
    values: tuple[float, ...] = (x, y)
    with contextlib.suppress(TypeError):
        values = (x, y, *to)
    numbers = [number for value in values if (number := finite_number(value)) is not None]
    if len(numbers) != 4 or len(values) != 4:
        given = ", ".join(describe(value) for value in (x, y, to))
        raise SaywhereError(f"drag ({given}): give x, y and to=(x, y), finite numbers in pixels")
    return math.hypot(numbers[2] - numbers[0], numbers[3] - numbers[1])
