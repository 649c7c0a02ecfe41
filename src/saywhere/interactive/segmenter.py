"""One photograph, its prompt and its masks: what a person or a program works with."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image

from saywhere.core.arrays import FloatArray
from saywhere.core.components import remove_unclicked_components
from saywhere.core.crop import Box, Crop
from saywhere.core.deprecation import renamed_methods
from saywhere.core.images import read_image
from saywhere.core.mask import NOTHING, Mask, sigmoid
from saywhere.core.prompt import Click, Prompt
from saywhere.core.relevance import Proposal, mean_relevance_at, most_relevant_click
from saywhere.core.settings import Settings
from saywhere.errors import NoMapError, PhraseError, SaywhereError
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.interactive.refine import REFINEMENTS
from saywhere.interactive.sam import LOW, _points
from saywhere.runtime.base import PurifyingRuntime, Runtime
from saywhere.text.words import shipped

AnyMask = TypeVar("AnyMask", "Mask", "Mask | None")


@renamed_methods(another="new_object", heat="relevance_map", heat_seen="relevance_in_crop", scene="encoded")
class Segmenter:
    """Click, drag, undo: one object at a time on one photograph.

    The first answer looks at the whole photograph and then closer at what it found; later ones go on in that
    crop, whose features are kept, until the object no longer fits it.
    """

    def __init__(self, runtime: Runtime, settings: Settings | None = None) -> None:
        self.runtime = runtime
        self.settings = settings or Settings()
        if self.settings.refine not in (None, *REFINEMENTS):
            raise SaywhereError(f"refine '{self.settings.refine}': choose {', '.join(REFINEMENTS)}, or None")
        self._encoded: EncodedImage | None = None
        self._history: list[tuple[Prompt, Mask | None]] = [(Prompt(), None)]
        self._at = 0

    # The photograph

    def set_image(self, photo: str | Path | Image.Image | NDArray[Any]) -> Segmenter:
        """Take a photograph (path, PIL image or ``(H, W, 3)`` uint8 RGB) and encode it; forgets all clicks.

        Raises SaywhereError, and keeps the photograph it had, when this one cannot be read.
        """
        pixels = read_image(photo)
        longer_side = max(pixels.shape[:2])
        size = self.settings.size if self.settings.enlarge else min(self.settings.size, longer_side)
        encoded = EncodedImage(self.runtime, pixels, size)
        encoded.features(encoded.full_crop)
        self._encoded = encoded
        self.reset()
        return self

    def new_object(self, runtime: PurifyingRuntime | None = None) -> Segmenter:
        """A Segmenter for one more object of the same photograph, which is not encoded again.

        ``runtime`` is one that differs from this one's in its purification layer alone, as a sequence's do.
        """
        other = Segmenter(runtime or self.runtime, self.settings)
        other._encoded = self.encoded if runtime is None else self.encoded.purified(runtime)
        return other

    @property
    def encoded(self) -> EncodedImage:
        if self._encoded is None:
            raise SaywhereError("no photograph yet: call set_image first")
        return self._encoded

    # The prompt

    @property
    def prompt(self) -> Prompt:
        return self._history[self._at][0]

    @property
    def mask(self) -> Mask | None:
        """The answer to the prompt so far; None without one."""
        return self._history[self._at][1]

    def click(self, x: float, y: float, positive: bool = True) -> Mask:
        """Say that a pixel is on the object, or is not."""
        return self.add(Click(x, y, positive))

    def drag(
        self, x: float, y: float, to: tuple[float, float] | None = None, radius: float | None = None,
        positive: bool = True,
    ) -> Mask:  # fmt: skip
        """Press at a region's centre and release at its nearest boundary, ``to``; or give the radius itself."""
        if (to is None) == (radius is None):
            raise SaywhereError("drag: give either to=(x, y) or radius=pixels")
        if to is not None:
            radius = math.hypot(to[0] - x, to[1] - y)
        return self.add(Click(x, y, positive, radius))

    def say(self, phrase: str | None) -> Mask | None:
        """Say what the object is: before any click, between clicks or after them. None takes the phrase back.

        A phrase counts as an interaction, and undo takes it back like any other. Returns the mask; None when neither
        a phrase nor a click is left. Raises SaywhereError, and changes nothing, when the weights understand no phrases
        or nothing in this one is known.
        """
        said = self._checked_phrase(phrase) if phrase is not None else None
        prompt = self.prompt.with_phrase(said)
        if not prompt:
            self._remember(prompt, None)
            return None
        # What was found before is no longer what is meant: look anew.
        return self._remember(prompt, self._answer(prompt, None, False))

    def relevance_map(self, phrase: str) -> FloatArray:
        """The probability ``(H, W)`` that a phrase applies to each pixel, whatever was clicked.

        Raises SaywhereError when the weights understand no phrases or nothing in this one is known.
        """
        chance = self.encoded.full_crop.to_image(self.relevance_in_crop(phrase), self.encoded.size, 0.0)
        return np.clip(chance, 0.0, 1.0)

    def relevance_in_crop(self, phrase: str) -> FloatArray:
        """The same at the size at which the whole photograph was looked at: small, however large the photograph is."""
        said = self._checked_phrase(phrase)
        return self.encoded.relevance(said)

    def fits(self, phrase: str) -> bool:
        """Whether a phrase seems to be about what was clicked; one that does not is not heeded, and costs nothing.

        Without a positive click it is whether the thing seems to be there at all. True where the network cannot tell.
        Errors as in :meth:`say`.
        """
        said = self._checked_phrase(phrase)
        if any(c.positive for c in self.prompt.clicks):
            return self._drop_conflicting_phrase(self.prompt.with_phrase(said)).phrase is not None
        try:
            return self.propose(said).found
        except NoMapError:
            return True

    def propose(self, phrase: str) -> Proposal:
        """The object that a phrase alone finds; the prompt stays as it is. Errors as in :meth:`relevance`."""
        relevance = self.relevance_map(phrase)
        prompt = Prompt((), self._checked_phrase(phrase))
        click = most_relevant_click(relevance)
        return Proposal(self._answer(prompt, None, False, click), relevance, click)

    def _drop_conflicting_phrase(self, prompt: Prompt) -> Prompt:
        """A prompt without its phrase, if that does not fit what was clicked: clicks outweigh words."""
        least, clicked = self.settings.phrase_relevance_threshold, [c for c in prompt.clicks if c.positive]
        if prompt.phrase is None or not clicked or not (least and self.runtime.capabilities.calibrated_relevance):
            return prompt
        chance = self.encoded.relevance(prompt.phrase)
        at = self.encoded.full_crop.to_crop(Prompt(tuple(clicked))).clicks
        return prompt if max(mean_relevance_at(chance, click) for click in at) >= least else prompt.with_phrase(None)

    def _effective_prompt(self, prompt: Prompt, click: Click | None = None) -> Prompt:
        """What the network is asked: without a phrase that the clicks contradict; or, where only a phrase says what is
        on the object, with the click that it suggests, because the network then finds one object, else a little of all.
        """
        if prompt.phrase is None or any(c.positive for c in prompt.clicks):
            return self._drop_conflicting_phrase(prompt)
        if click is None:
            try:
                click = most_relevant_click(self.relevance_map(prompt.phrase))
            except NoMapError:
                return prompt
        return replace(prompt, clicks=(*prompt.clicks, click))

    def undo(self) -> Mask | None:
        """Take the last interaction back; the mask is the very one from before it."""
        self._at = max(self._at - 1, 0)
        return self.mask

    def redo(self) -> Mask | None:
        """Bring back what was undone."""
        self._at = min(self._at + 1, len(self._history) - 1)
        return self.mask

    def reset(self) -> None:
        """Forget the clicks, keep the photograph."""
        self._history, self._at = [(Prompt(), None)], 0

    def add(self, click: Click) -> Mask:
        """Answer one more click or drag; whatever was undone before is forgotten.

        Raises SaywhereError, and changes nothing, when there is no photograph or the click is outside it.
        """
        prompt = self.prompt.with_click(self._checked(click))
        shown = len(prompt) >= self.settings.previous_mask_from
        return self._remember(prompt, self._answer(prompt, self.mask, shown))

    def _remember(self, prompt: Prompt, mask: AnyMask) -> AnyMask:
        self._history = [*self._history[: self._at + 1], (prompt, mask)]
        self._at += 1
        return mask

    def _checked_phrase(self, phrase: str) -> str:
        if not self.runtime.capabilities.phrases:
            raise PhraseError(
                f"phrase {phrase[:60]!r}: weights '{self.runtime.name}' understand no phrases; use clicks"
            )
        return (self.runtime.capabilities.words or shipped()).checked(phrase)

    def _checked(self, click: Click) -> Click:
        h, w = self.encoded.size
        if not (-0.5 <= click.x <= w - 0.5 and -0.5 <= click.y <= h - 0.5):
            raise SaywhereError(f"click at ({click.x:g}, {click.y:g}): outside the photograph, which is {w}x{h} pixels")
        return click

    # The answer

    def _answer(self, said: Prompt, previous: Mask | None, shown: bool, suggested: Click | None = None) -> Mask:
        """The answer to what was said; the last one says where to look and, if ``shown``, is seen by the network.

        ``suggested`` is where a phrase alone applies best, if that is known already.
        """
        prompt = self._effective_prompt(said, suggested)
        # What a phrase alone means may be in several places.
        unclicked_components = self.settings.unclicked_components if any(c.positive for c in said.clicks) else 0.0
        whole = self.encoded.full_crop
        if previous is None:
            mask, answered = self._decode(self._first_view(prompt), prompt, None, unclicked_components), True
        else:
            mask, answered = previous, False
        for _ in range(self.settings.max_zoom_steps):
            crop = self._closer(prompt, mask) if self.settings.zoom else whole
            if answered and crop == mask.crop:
                break
            mask, answered = self._decode(crop, prompt, mask if shown else None, unclicked_components), True
        return self._refined(mask)

    def _refined(self, mask: Mask) -> Mask:
        if self.settings.refine is None:
            return mask
        better = REFINEMENTS[self.settings.refine](mask.crop.crop(self.encoded.photo), mask.logits)
        return replace(mask, refined=better)

    def _decode(self, crop: Crop, prompt: Prompt, previous: Mask | None, unclicked_components: float) -> Mask:
        past = None if previous is None else sigmoid(previous.crop.resample(previous.logits, crop, NOTHING))
        seen = crop.to_crop(prompt)
        logits = self.runtime.decode(self.encoded.features(crop), seen, past)
        if self.settings.flip:
            width, mirror = self.encoded.size[1], self.encoded.mirror
            turned = crop.mirrored(width)
            past = None if past is None else np.ascontiguousarray(past[:, ::-1])
            again = self.runtime.decode(mirror.features(turned), turned.to_crop(prompt.mirrored(width)), past)
            logits = (logits + again[:, ::-1]) / 2.0
        if unclicked_components:
            logits = remove_unclicked_components(logits, seen.clicks, unclicked_components)
        return Mask(crop, logits, self.encoded.size, self.settings.threshold)

    def _first_view(self, prompt: Prompt) -> Crop:
        """The whole photograph, or what lies around a first drag, which says how large the object is."""
        encoded, settings = self.encoded, self.settings
        first = prompt.clicks[0] if prompt.clicks else None
        if first is None or first.radius is None or not first.positive or not (settings.zoom and settings.drag_margin):
            return encoded.full_crop
        reach = settings.drag_margin * first.radius
        box = (first.x + 0.5 - reach, first.y + 0.5 - reach, first.x + 0.5 + reach, first.y + 0.5 + reach)
        near = Crop.from_box(_around(box, [c for c in prompt.clicks if c.positive]), encoded.size, settings.zoom_size)
        return near if encoded.full_crop.longer_side > 1.1 * near.longer_side else encoded.full_crop

    def _closer(self, prompt: Prompt, mask: Mask) -> Crop:
        """The crop in which the object and its positive clicks fill most of the picture.

        The present crop stays as long as it holds them with some room, and not too much, around. An object that
        runs off it gets twice the room: how far it goes cannot be seen yet.
        """
        encoded, margin = self.encoded, self.settings.zoom_margin
        found = mask.crop.bounding_box(mask.logits > 0)
        if found is None:
            return encoded.full_crop
        box = _around(found, [c for c in prompt.clicks if c.positive])
        room = (
            2.0 * (margin - 1.0)
            if mask.crop != encoded.full_crop and mask.crop.is_truncated(found, encoded.size)
            else margin - 1.0
        )
        wanted = Crop.from_box(_expand(box, 1.0 + room), encoded.size, self.settings.zoom_size)
        if mask.crop != encoded.full_crop:
            roomy = Crop.from_box(_expand(box, 1.0 + (margin - 1.0) / 4.0), encoded.size, self.settings.zoom_size)
            if mask.crop.contains(roomy) and mask.crop.longer_side < 1.5 * wanted.longer_side:
                return mask.crop
        gain = encoded.full_crop.longer_side / wanted.longer_side
        return wanted if gain > 1.1 or self.settings.zoom_size > self.settings.size else encoded.full_crop

    # The SAM way

    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        text: str | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = False,
    ) -> tuple[NDArray[np.bool_], FloatArray, FloatArray]:
        """Masks for a whole prompt at once, with the array shapes of SAM's predictor. Clicks made so far stay apart.

        ``point_coords`` is ``(N, 2)`` of x, y in pixels, ``point_labels`` ``(N,)`` of 1 and 0; ``mask_input`` is
        ``(1, 256, 256)`` logits of an earlier call. Returns masks ``(C, H, W)`` bool, scores ``(C,)`` and logits
        ``(C, 256, 256)`` of the photograph scaled to a longer side of 256, padded right or below. C is 1; with
        ``multimask_output`` it is 3: a tight, a middle and a loose cut of the same answer.
        """
        said = None if text is None else self._checked_phrase(text)
        prompt = Prompt(tuple(self._checked(c) for c in _points(point_coords, point_labels)), said)
        if not prompt:
            raise SaywhereError("no prompt: give point_coords and point_labels, or text")
        low = self._low_view()
        previous = None
        if mask_input is not None:
            given = np.asarray(mask_input, np.float32)
            if given.shape not in ((1, LOW, LOW), (LOW, LOW)):
                raise SaywhereError(f"mask_input of shape {given.shape}: give the (1, {LOW}, {LOW}) logits of predict")
            given = given.reshape(LOW, LOW)[: low.height, : low.width]
            previous = Mask(low, np.ascontiguousarray(given), self.encoded.size, self.settings.threshold)
        answer = self._answer(prompt, previous, mask_input is not None)
        cuts = (0.7, 0.5, 0.3) if multimask_output else (self.settings.threshold,)
        answers = [replace(answer, threshold=cut) for cut in cuts]
        logits = np.full((LOW, LOW), NOTHING, np.float32)
        logits[: low.height, : low.width] = answer.crop.resample(answer.logits, low, NOTHING)
        return (
            np.stack([m.array for m in answers]),
            np.array([m.score for m in answers], np.float32),
            np.repeat(logits[None], len(answers), axis=0),
        )

    def _low_view(self) -> Crop:
        h, w = self.encoded.size
        return Crop.from_box((0, 0, w, h), (h, w), LOW)


def _around(box: Box, clicks: list[Click]) -> Box:
    xs, ys = [c.x + 0.5 for c in clicks], [c.y + 0.5 for c in clicks]
    return min(box[0], *xs, math.inf), min(box[1], *ys, math.inf), max(box[2], *xs, 0.0), max(box[3], *ys, 0.0)


def _expand(box: Box, factor: float) -> Box:
    """Wider on all sides by the same length, so that a thin object keeps surroundings too."""
    grow = (factor - 1.0) * max(box[2] - box[0], box[3] - box[1]) / 2.0
    return box[0] - grow, box[1] - grow, box[2] + grow, box[3] + grow
