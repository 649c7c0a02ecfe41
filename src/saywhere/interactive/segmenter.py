"""One image, its prompt and its masks: what a person or a program works with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saywhere.core.deprecation import renamed_arguments, renamed_methods
from saywhere.core.images import read_image
from saywhere.core.locking import one_at_a_time
from saywhere.core.mask import Mask
from saywhere.core.numbers import describe, whole_number
from saywhere.core.prompt import Click, Prompt
from saywhere.core.relevance import PRESENT_FROM, relevance_peak
from saywhere.core.settings import Settings
from saywhere.errors import NoMapError, SaywhereError
from saywhere.interactive.checks import check_box, check_click, check_clicks, check_mask, check_phrase, drag_length
from saywhere.interactive.effective_prompt import drop_conflicting_phrase
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.interactive.history import History, Step
from saywhere.interactive.predictor import ImagePredictor
from saywhere.runtime.base import PurifyingRuntime, Runtime


@renamed_methods(
    another="new_object", heat="relevance_map", heat_seen="relevance_in_crop", scene="encoded", runner="runtime"
)
class Segmenter(ImagePredictor):
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
        super().__init__(runtime, settings)
        self._history = History()

    @one_at_a_time
    def __copy__(self) -> Self:
        """A Segmenter of its own with the same image and interactions; what both share never changes."""
        other = type(self).__new__(type(self))
        other.__dict__.update(self.__getstate__())
        return other

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self.__copy__()

    # The image

    @renamed_arguments(photo="image")
    @one_at_a_time
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

    @one_at_a_time
    def new_object(self, runtime: PurifyingRuntime | None = None) -> Segmenter:
        """A Segmenter for one more object of the same image, which is not encoded again.

        Args:
            runtime: one that differs from this one's in its purification layer alone, as a sequence's do.
        """
        other = Segmenter(runtime or self.runtime, self.settings)
        other._encoded = self.encoded if runtime is None else self.encoded.purified(runtime)
        return other

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
            radius = drag_length(x, y, to)
        return self.add(Click(x, y, positive, radius))

    @one_at_a_time
    def add(self, click: Click) -> Mask:
        """Add a click or drag; what was undone before is forgotten. Arguments and errors as for :meth:`click`."""
        before = self.mask
        prompt = self.prompt.with_click(check_click(click, self.encoded.size))
        check_clicks(prompt.clicks, self.runtime)
        keeps = self.settings.keep_clicked and click.positive and self._step.is_kept
        given = replace(
            self._decoder_input(prompt),
            previous=before,
            use_previous=self._step.start is not None or len(prompt) >= self.settings.previous_mask_from,
            kept=before if keeps else None,
            output=self._step.output,
        )
        answer = self._decoder().decode(given)
        is_kept = any(c.positive for c in prompt.clicks)
        self._remember(replace(self._step, prompt=prompt, answer=answer, is_kept=is_kept))
        return answer.mask

    @one_at_a_time
    def start(self, mask: NDArray[np.bool_]) -> Mask:
        """Begin from a mask that is known already, for example from a file: clicks refine it.

        The network sees the mask from the first click on. It takes the place of the interactions so far; :meth:`undo`
        brings them back.

        Args:
            mask: ``(H, W)`` bool, at the size of the image.

        Returns:
            The mask at the scale of its crop: edges may differ by less than a pixel of the crop.

        Raises:
            SaywhereError: there is no image, or the mask is of another size, not bool, or empty; nothing is changed.

        Example:
            >>> import numpy as np
            >>> import saywhere
            >>> segmenter = saywhere.load().set_image(np.zeros((48, 64, 3), np.uint8))
            >>> known = np.zeros((48, 64), bool)
            >>> known[10:30, 20:50] = True
            >>> int(segmenter.start(known).array.sum())
            600
        """
        if not check_mask(mask, self.encoded.size, "the mask to start from").any():
            raise SaywhereError("the mask to start from is empty; click on the object instead")
        answer = self._decoder().given(mask)
        self._remember(Step(answer=answer, is_kept=True, start=answer))
        return answer.mask

    @one_at_a_time
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
        prompt = self.prompt.with_box(check_box((x0, y0, x1, y1), self.runtime, self.encoded.size))
        # The mask before may be of a smaller or larger object than the box is around.
        answer = self._decoder().decode(self._decoder_input(prompt))
        self._remember(replace(self._step, prompt=prompt, answer=answer, output=None, is_kept=False))
        return answer.mask

    @one_at_a_time
    def say(self, phrase: str | None) -> Mask | None:
        """Say what the object is: before, between or after clicks.

        A phrase counts as an interaction, and :meth:`undo` takes it back like any other.

        Args:
            phrase: what the object is; None removes the phrase.

        Returns:
            The mask; when neither a phrase nor a click is left the one that was given to :meth:`start`, or None.

        Raises:
            SaywhereError: the network knows no phrases, or no word of this one; nothing is changed.
        """
        checked = check_phrase(phrase, self.runtime) if phrase is not None else None
        prompt = self.prompt.with_phrase(checked)
        if not prompt:
            start = self._step.start
            self._remember(replace(self._step, prompt=prompt, answer=start, output=None, is_kept=start is not None))
            return self.mask
        # The mask before may be of another object than the phrase means.
        answer = self._decoder().decode(self._decoder_input(prompt))
        self._remember(replace(self._step, prompt=prompt, answer=answer, output=None, is_kept=False))
        return answer.mask

    @one_at_a_time
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
        self._remember(Step(step.prompt, answer, chosen.candidate, step.choices + 1, True, step.start))
        return answer.mask

    @one_at_a_time
    def undo(self) -> Mask | None:
        """Take the last interaction back; the mask is the very one from before it."""
        self._history = self._history.undone()
        return self.mask

    @one_at_a_time
    def redo(self) -> Mask | None:
        """Bring back what was undone."""
        self._history = self._history.redone()
        return self.mask

    @one_at_a_time
    def reset(self) -> None:
        """Forget the interactions, keep the image."""
        self._history = History()

    @one_at_a_time
    def forget_steps(self, keep: int) -> None:
        """Free the memory of masks that can be undone to or redone, but for the last ones.

        Args:
            keep: how many interactions :meth:`undo` can still take back.
        """
        self._history = self._history.shortened(keep)

    @property
    def undoable(self) -> int:
        """How many interactions :meth:`undo` can take back."""
        return self._history.position

    # Phrases

    @one_at_a_time
    def fits(self, phrase: str) -> bool:
        """Whether a phrase seems to be about what was clicked; one that is not does not change the mask.

        Without a positive click, whether the object seems to be in the image at all. True where the network cannot
        tell, and False for a phrase that it does not know. Errors as for :meth:`say`.
        """
        checked = check_phrase(phrase, self.runtime)
        if not self.knows(checked):
            return False
        if any(c.positive for c in self.prompt.clicks):
            return drop_conflicting_phrase(self._decoder(), self.prompt.with_phrase(checked)).phrase is not None
        try:
            return relevance_peak(self.encoded.relevance(checked))[1] >= PRESENT_FROM
        except NoMapError:
            return True

    # History

    @property
    def _step(self) -> Step:
        return self._history.present

    def _remember(self, step: Step) -> None:
        self._history = self._history.extended(step)
