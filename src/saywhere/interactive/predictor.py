"""What a network answers about one image, whatever the interactions with it are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.locking import Lockable, one_at_a_time
from saywhere.core.prompt import Click, Prompt
from saywhere.core.relevance import Proposal
from saywhere.core.settings import CANDIDATE_CHOICES, Settings
from saywhere.errors import SaywhereError
from saywhere.interactive import sam
from saywhere.interactive.checks import check_mask, check_phrase, check_text
from saywhere.interactive.decoding import DecoderInput, MaskDecoder
from saywhere.interactive.effective_prompt import decoder_input
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.interactive.instances import Instance, InstanceSearch
from saywhere.interactive.phrase_click import knows, phrase_click
from saywhere.interactive.pretrained import PretrainedMixin
from saywhere.interactive.refine import REFINEMENTS
from saywhere.runtime.base import Runtime
from saywhere.runtime.metadata import resolve_settings


class ImagePredictor(PretrainedMixin, Lockable):
    """The part of a :class:`saywhere.Segmenter` that has no interactions: SAM's ``predict``, and phrases alone.

    Args:
        runtime: the network.
        settings: how to crop, decode and post-process; what they leave to the network is filled in.

    Raises:
        SaywhereError: the settings name a refinement that does not exist, or a size that the network cannot take.
    """

    def __init__(self, runtime: Runtime, settings: Settings | None = None) -> None:
        super().__init__(runtime)
        self.settings = resolve_settings(runtime, settings or Settings())
        if self.settings.refine not in (None, *REFINEMENTS):
            raise SaywhereError(f"refine '{self.settings.refine}': choose {', '.join(REFINEMENTS)}, or None")
        if self.settings.candidate_choice not in CANDIDATE_CHOICES:
            choices = ", ".join(CANDIDATE_CHOICES)
            raise SaywhereError(f"candidate_choice '{self.settings.candidate_choice}': choose {choices}")
        self._encoded: EncodedImage | None = None

    @property
    def encoded(self) -> EncodedImage:
        """The image and its features.

        Raises:
            SaywhereError: there is no image yet.
        """
        if self._encoded is None:
            raise SaywhereError("no photograph yet: call set_image first")
        return self._encoded

    # SAM's contract

    @one_at_a_time
    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        text: str | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = False,
        box: ArrayLike | None = None,
        return_logits: bool = False,
    ) -> tuple[NDArray[Any], FloatArray, FloatArray]:
        """Masks for a whole prompt at once, with the array shapes of SAM's predictor.

        The interactions of a Segmenter are neither used nor changed.

        Args:
            point_coords: ``(N, 2)`` x and y in pixels.
            point_labels: ``(N,)``, 1 positive, 0 negative; 2 and 3 the top left and bottom right corner of a box; -1 no
                point.
            text: a phrase.
            mask_input: ``(1, 256, 256)`` logits of an earlier call.
            multimask_output: whether to return all candidate masks instead of one, smallest area first; for a network
                with one mask, three masks of different thresholds.
            box: ``(4,)`` or ``(1, 4)`` left, top, right and bottom edge in pixels.
            return_logits: whether masks are logits, above 0 on the object, instead of bool.

        Returns:
            Masks ``(C, H, W)``, bool or float32, scores ``(C,)``, and logits ``(C, 256, 256)`` of the image scaled to a
            longer side of 256 and padded at the right or bottom. The scores are the predicted IoU, or for a network
            with one mask the expected IoU.

        Raises:
            SaywhereError: the prompt is empty, an array has another shape, a click or the box is outside the image, or
                the network knows no boxes or takes no such clicks.
        """
        return sam.predict(
            self._decoder(), point_coords, point_labels, text, mask_input, multimask_output, box, return_logits
        )

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

    @one_at_a_time
    def relevance_in_crop(self, phrase: str) -> FloatArray:
        """:meth:`relevance_map` at the size at which the whole image was encoded, read-only."""
        return self.encoded.relevance(check_phrase(phrase, self.runtime))

    def knows(self, phrase: str) -> bool:
        """Whether a phrase is near enough to those of the training to be of use; one that is not does not change masks.

        True where the weights do not say what they were trained on.
        """
        return knows(self.encoded, check_text(phrase))

    @one_at_a_time
    def propose(self, phrase: str) -> Proposal:
        """The object that a phrase alone finds; the prompt stays as it is. Errors as for :meth:`relevance_map`."""
        relevance = self.relevance_in_crop(phrase)
        click, peak = phrase_click(self.encoded, check_phrase(phrase, self.runtime))
        click = self.encoded.full_crop.click_to_image(click)
        given = self._decoder_input(Prompt((), check_phrase(phrase, self.runtime)), click)
        mask = self._decoder().decode(given).mask
        return Proposal(mask, click, peak, relevance, self.encoded.full_crop)

    @one_at_a_time
    def instances(
        self,
        phrase: str | None = None,
        likelihood: FloatArray | None = None,
        existing: Sequence[BoolArray] = (),
        others: Sequence[BoolArray] = (),
    ) -> list[Instance]:
        """All objects that a phrase names; the prompt stays as it is.

        Args:
            phrase: what to look for; None: the likelihood alone says where objects are.
            likelihood: ``(h, w)`` in [0, 1], of any size: where they are by other evidence, such as the features of
                objects of this kind (:meth:`saywhere.Sequence.instances`); an object is looked for where either says.
            existing: ``(H, W)`` masks of such objects, which are not found again.
            others: ``(H, W)`` masks of objects of other kinds, none of which is found.

        Returns:
            The objects, each with its mask and score, the highest score first; none where none seems to be there.

        Raises:
            SaywhereError: there is neither phrase nor likelihood, a mask is of another size, or as for
                :meth:`relevance_map`.

        Example:
            >>> import numpy as np
            >>> import saywhere
            >>> segmenter = saywhere.load().set_image(np.full((96, 96, 3), 255, np.uint8))
            >>> segmenter.instances("wheel")
            []
        """
        search = self.instance_search(phrase, likelihood, existing, others)
        for window in search.windows:
            search.search(window)
        return search.found()

    def instance_search(
        self,
        phrase: str | None = None,
        likelihood: FloatArray | None = None,
        existing: Sequence[BoolArray] = (),
        others: Sequence[BoolArray] = (),
    ) -> InstanceSearch:
        """The search of :meth:`instances` in parts, for programs that do other work in between.

        Arguments and errors as there.
        """
        if phrase is None and likelihood is None:
            raise SaywhereError("instances: give a phrase, or a map of where such objects are likely")
        size = self.encoded.size
        known = [check_mask(mask, size, "instances: existing") for mask in existing]
        foreign = [check_mask(mask, size, "instances: others") for mask in others]
        checked = None if phrase is None else check_phrase(phrase, self.runtime)
        return InstanceSearch(self._decoder(), checked, likelihood, known, foreign)

    # Decoding

    def _decoder(self) -> MaskDecoder:
        return MaskDecoder(self.runtime, self.encoded, self.settings)

    def _decoder_input(self, prompt: Prompt, click: Click | None = None) -> DecoderInput:
        return decoder_input(self._decoder(), prompt, click)
