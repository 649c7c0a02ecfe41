"""One image, its prompt and its masks: what a person or a program works with."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.components import remove_unclicked_components
from saywhere.core.crop import Crop
from saywhere.core.deprecation import renamed_arguments, renamed_methods
from saywhere.core.images import read_image
from saywhere.core.mask import NOTHING, Mask, sigmoid
from saywhere.core.prompt import Click, Prompt
from saywhere.core.relevance import PRESENT_FROM, Proposal, relevance_at, relevance_peak
from saywhere.core.settings import Settings
from saywhere.errors import NoMapError, PhraseError, SaywhereError
from saywhere.interactive import sam
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.interactive.refine import REFINEMENTS
from saywhere.interactive.zoom import first_crop, next_crop
from saywhere.runtime.base import PurifyingRuntime, Runtime
from saywhere.text.words import shipped_words

AnyMask = TypeVar("AnyMask", "Mask", "Mask | None")


@renamed_methods(another="new_object", heat="relevance_map", heat_seen="relevance_in_crop", scene="encoded")
class Segmenter:
    """Segments one object at a time on one image: click, drag, say, undo.

    The first mask comes from the whole image and then from a crop around what was found; later ones come from that
    crop, whose features are kept, until the object no longer fits it.

    Args:
        runtime: the network; :func:`saywhere.load` makes a Segmenter of a name.
        settings: how to crop, decode and post-process.

    Raises:
        SaywhereError: the settings name a refinement that does not exist.

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
        self.settings = settings or Settings()
        if self.settings.refine not in (None, *REFINEMENTS):
            raise SaywhereError(f"refine '{self.settings.refine}': choose {', '.join(REFINEMENTS)}, or None")
        self._encoded: EncodedImage | None = None
        self._history: list[tuple[Prompt, Mask | None]] = [(Prompt(), None)]
        self._position = 0

    # The image

    @renamed_arguments(photo="image")
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
        """All interactions so far."""
        return self._history[self._position][0]

    @property
    def mask(self) -> Mask | None:
        """The mask for the prompt so far; None without one."""
        return self._history[self._position][1]

    def click(self, x: float, y: float, positive: bool = True) -> Mask:
        """Click on the object, or off it.

        Args:
            x: pixels from the left.
            y: pixels from the top.
            positive: whether the pixel belongs to the object.

        Raises:
            SaywhereError: there is no image, or the click is outside it; nothing is changed.
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
            SaywhereError: both or none of ``to`` and ``radius`` are given, or as for :meth:`click`.
        """
        if (to is None) == (radius is None):
            raise SaywhereError("drag: give either to=(x, y) or radius=pixels")
        if to is not None:
            radius = math.hypot(to[0] - x, to[1] - y)
        return self.add(Click(x, y, positive, radius))

    def add(self, click: Click) -> Mask:
        """Add a click or drag; what was undone before is forgotten. Arguments and errors as for :meth:`click`."""
        prompt = self.prompt.with_click(self._check_click(click))
        use_previous = len(prompt) >= self.settings.previous_mask_from
        return self._remember(prompt, self._segment(prompt, self.mask, use_previous))

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
            self._remember(prompt, None)
            return None
        # The mask before may be of another object than the phrase means.
        return self._remember(prompt, self._segment(prompt, None, False))

    def undo(self) -> Mask | None:
        """Take the last interaction back; the mask is the very one from before it."""
        self._position = max(self._position - 1, 0)
        return self.mask

    def redo(self) -> Mask | None:
        """Bring back what was undone."""
        self._position = min(self._position + 1, len(self._history) - 1)
        return self.mask

    def reset(self) -> None:
        """Forget the interactions, keep the image."""
        self._history, self._position = [(Prompt(), None)], 0

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

    def relevance_in_crop(self, phrase: str) -> FloatArray:
        """:meth:`relevance_map` at the size at which the whole image was encoded, however large the image is."""
        return self.encoded.relevance(self._check_phrase(phrase))

    def fits(self, phrase: str) -> bool:
        """Whether a phrase seems to be about what was clicked; one that is not does not change the mask.

        Without a positive click, whether the object seems to be in the image at all. True where the network cannot
        tell. Errors as for :meth:`say`.
        """
        checked = self._check_phrase(phrase)
        if any(c.positive for c in self.prompt.clicks):
            return self._drop_conflicting_phrase(self.prompt.with_phrase(checked)).phrase is not None
        try:
            return relevance_peak(self.encoded.relevance(checked))[1] >= PRESENT_FROM
        except NoMapError:
            return True

    def propose(self, phrase: str) -> Proposal:
        """The object that a phrase alone finds; the prompt stays as it is. Errors as for :meth:`relevance_map`."""
        relevance = self.relevance_in_crop(phrase)
        click, peak = relevance_peak(relevance)
        click = self.encoded.full_crop.click_to_image(click)
        mask = self._segment(Prompt((), self._check_phrase(phrase)), None, False, click)
        return Proposal(mask, click, peak, relevance, self.encoded.full_crop)

    def _drop_conflicting_phrase(self, prompt: Prompt) -> Prompt:
        """A prompt without its phrase if that is not relevant to what was clicked."""
        least, clicked = self.settings.phrase_relevance_threshold, [c for c in prompt.clicks if c.positive]
        if prompt.phrase is None or not clicked or not (least and self.runtime.capabilities.calibrated_relevance):
            return prompt
        relevance = self.encoded.relevance(prompt.phrase)
        clicks = self.encoded.full_crop.to_crop(Prompt(tuple(clicked))).clicks
        return prompt if max(relevance_at(relevance, c) for c in clicks) >= least else prompt.with_phrase(None)

    def _effective_prompt(self, prompt: Prompt, click: Click | None) -> Prompt:
        """What the network gets.

        A phrase that conflicts with the clicks is dropped. A phrase without a positive click gets one where it applies
        best, because the network then finds one object instead of a little of all.
        """
        if prompt.phrase is None or any(c.positive for c in prompt.clicks):
            return self._drop_conflicting_phrase(prompt)
        if click is None:
            try:
                peak, _ = relevance_peak(self.relevance_in_crop(prompt.phrase))
            except NoMapError:
                return prompt
            click = self.encoded.full_crop.click_to_image(peak)
        return replace(prompt, clicks=(*prompt.clicks, click))

    # SAM's contract

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        text: str | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = False,
    ) -> tuple[BoolArray, FloatArray, FloatArray]:
        """Masks for a whole prompt at once, with the array shapes of SAM's predictor.

        The interactions of this Segmenter are neither used nor changed.

        Args:
            point_coords: ``(N, 2)`` x and y in pixels.
            point_labels: ``(N,)``, 1 positive, 0 negative.
            text: a phrase.
            mask_input: ``(1, 256, 256)`` logits of an earlier call.
            multimask_output: whether to return three masks of different thresholds instead of one.

        Returns:
            Masks ``(C, H, W)`` bool, scores ``(C,)``, and logits ``(C, 256, 256)`` of the image scaled to a longer
            side of 256 and padded at the right or bottom.

        Raises:
            SaywhereError: the prompt is empty, an array has another shape, or a click is outside the image.
        """
        phrase = None if text is None else self._check_phrase(text)
        prompt = Prompt(tuple(self._check_click(c) for c in sam.read_points(point_coords, point_labels)), phrase)
        if not prompt:
            raise SaywhereError("no prompt: give point_coords and point_labels, or text")
        previous = None
        if mask_input is not None:
            previous = sam.read_mask_input(mask_input, self.encoded.size, self.settings.threshold)
        return sam.as_arrays(self._segment(prompt, previous, mask_input is not None), multimask_output)

    # Checks

    def _check_phrase(self, phrase: str) -> str:
        if not self.runtime.capabilities.phrases:
            raise PhraseError(
                f"phrase {phrase[:60]!r}: weights '{self.runtime.name}' understand no phrases; use clicks"
            )
        return (self.runtime.capabilities.words or shipped_words()).check_phrase(phrase)

    def _check_click(self, click: Click) -> Click:
        h, w = self.encoded.size
        if not (-0.5 <= click.x <= w - 0.5 and -0.5 <= click.y <= h - 0.5):
            raise SaywhereError(f"click at ({click.x:g}, {click.y:g}): outside the photograph, which is {w}x{h} pixels")
        return click

    # Segmentation

    def _remember(self, prompt: Prompt, mask: AnyMask) -> AnyMask:
        self._history = [*self._history[: self._position + 1], (prompt, mask)]
        self._position += 1
        return mask

    def _segment(
        self, prompt: Prompt, previous: Mask | None, use_previous: bool, relevant_click: Click | None = None
    ) -> Mask:
        """The mask for a prompt.

        Args:
            prompt: all interactions.
            previous: the mask before, which decides the first crop.
            use_previous: whether the network sees that mask.
            relevant_click: where the phrase applies best, if that is known.
        """
        effective = self._effective_prompt(prompt, relevant_click)
        # What a phrase alone means may be in several places, so all components stay.
        min_share = self.settings.unclicked_components if any(c.positive for c in prompt.clicks) else 0.0
        encoded, settings = self.encoded, self.settings
        if previous is None:
            mask, is_new = self._decode(first_crop(encoded, effective, settings), effective, None, min_share), True
        else:
            mask, is_new = previous, False
        for _ in range(settings.max_zoom_steps):
            crop = next_crop(encoded, effective, mask, settings) if settings.zoom else encoded.full_crop
            if is_new and crop == mask.crop:
                break
            mask, is_new = self._decode(crop, effective, mask if use_previous else None, min_share), True
        if settings.refine is None:
            return mask
        return replace(mask, refined=REFINEMENTS[settings.refine](mask.crop.crop(encoded.image), mask.logits))

    def _decode(self, crop: Crop, prompt: Prompt, previous: Mask | None, min_share: float) -> Mask:
        """The mask of a crop; see :func:`remove_unclicked_components` for ``min_share``."""
        probability = None if previous is None else sigmoid(previous.crop.resample(previous.logits, crop, NOTHING))
        prompt_in_crop = crop.to_crop(prompt)
        logits = self.runtime.decode(self.encoded.features(crop), prompt_in_crop, probability)
        if self.settings.flip:
            logits = (logits + self._decode_mirrored(crop, prompt, probability)) / 2.0
        if min_share:
            logits = remove_unclicked_components(logits, prompt_in_crop.clicks, min_share)
        return Mask(crop, logits, self.encoded.size, self.settings.threshold)

    def _decode_mirrored(self, crop: Crop, prompt: Prompt, probability: FloatArray | None) -> FloatArray:
        """The logits of the mirrored crop, mirrored back."""
        width, mirror = self.encoded.size.width, self.encoded.mirror
        mirrored = crop.mirrored(width)
        previous = None if probability is None else np.ascontiguousarray(probability[:, ::-1])
        logits = self.runtime.decode(mirror.features(mirrored), mirrored.to_crop(prompt.mirrored(width)), previous)
        return logits[:, ::-1]
