"""A prompt to masks: the crops that it zooms through, and the candidate masks of the last one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import cv2
import numpy as np

from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.box_fit import box_scores, confine
from saywhere.core.components import remove_unclicked_components
from saywhere.core.crop import Crop
from saywhere.core.geometry import Box, ImageSize
from saywhere.core.mask import NOTHING, Mask, sigmoid
from saywhere.core.prompt import Click, Prompt
from saywhere.core.settings import ResolvedSettings, Settings
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.interactive.refine import REFINEMENTS
from saywhere.interactive.zoom import first_crop, is_truncated, next_crop
from saywhere.runtime.base import Runtime

GIVEN_LOGIT = 8.0  # of a pixel that a given mask has


@dataclass(frozen=True)
class DecoderInput:
    """What a decoding starts from.

    Attributes:
        prompt: what the network gets, in pixels of the image.
        previous: the mask before, which decides the first crop; None: the prompt decides it.
        use_previous: whether the network sees the mask before.
        kept: a mask that the new one must contain; None without one.
        output: the network's output that is taken; None: the one with the highest predicted IoU.
        min_share: see :func:`remove_unclicked_components`; 0 keeps all components.
    """

    prompt: Prompt
    previous: Mask | None = None
    use_previous: bool = False
    kept: Mask | None = None
    output: int | None = None
    min_share: float = 0.0


@dataclass(frozen=True)
class CropOutput:
    """What the network gave for one crop.

    Attributes:
        crop: the crop.
        logits: ``(n, height, width)`` of the candidates.
        predicted_ious: ``(n,)``; None from a network with one mask.
        clicks: in pixels of the crop.
        min_share: see :class:`DecoderInput`.
        image_size: of the image.
        threshold: of the masks.
        box: the prompt's box, in pixels of the crop.
    """

    crop: Crop
    logits: FloatArray = field(repr=False)
    predicted_ious: FloatArray | None
    clicks: Sequence[Click]
    min_share: float
    image_size: ImageSize
    threshold: float
    box: Box | None = None

    @property
    def best(self) -> int:
        """The output with the highest predicted IoU; with a box its agreement with the box counts too."""
        if self.predicted_ious is None:
            return 0
        if self.box is None:
            return int(self.predicted_ious.argmax())
        return int(box_scores(self.predicted_ious, self.logits, self.box).argmax())

    def mask(self, output: int) -> Mask:
        """The mask of one output, without the components that no click is on."""
        logits = self.logits[output]
        if self.min_share:
            logits = remove_unclicked_components(logits, self.clicks, self.min_share)
        iou = None if self.predicted_ious is None else float(self.predicted_ious[output])
        return Mask(self.crop, logits, self.image_size, self.threshold, predicted_iou=iou, candidate=output)


@dataclass(frozen=True)
class Answer:
    """A mask, and the other candidates of the same crop, which are not post-processed before they are read.

    Attributes:
        mask: the chosen candidate.
        output: what the network gave for its crop.
        encoded: the image.
        settings: ``refine`` is used.
    """

    mask: Mask
    output: CropOutput = field(repr=False)
    encoded: EncodedImage = field(repr=False)
    settings: Settings = field(repr=False)

    @cached_property
    def candidates(self) -> tuple[Mask, ...]:
        """All candidates, smallest area first."""
        others = [
            refined(self.output.mask(i), self.encoded, self.settings.refine)
            for i in range(len(self.output.logits))
            if i != self.mask.candidate
        ]
        return tuple(sorted((self.mask, *others), key=lambda mask: (mask.area_share, mask.candidate)))


class MaskDecoder:
    """Decodes prompts of one image.

    Args:
        runtime: the network.
        encoded: the image.
        settings: how to crop, decode and post-process.
    """

    def __init__(self, runtime: Runtime, encoded: EncodedImage, settings: ResolvedSettings) -> None:
        self.runtime, self.encoded, self.settings = runtime, encoded, settings

    def decode(self, given: DecoderInput) -> Answer:
        """Decode a prompt, first in the crop that it or the mask before decides, then in the crop of the new mask."""
        if given.previous is not None:
            return self._zoom(given, given.previous, None)
        output = self.decode_crop(
            first_crop(self.encoded, given.prompt, self.settings, self._zoom_size(given)), given, None
        )
        return self._zoom(given, self._chosen(output, given), output)

    def given(self, mask: BoolArray) -> Answer:
        """A mask that is given, as if the network had answered with it.

        Args:
            mask: ``(H, W)`` at the size of the image, not empty.
        """
        full, threshold = self.encoded.full_crop, self.settings.threshold
        whole = Mask(full, given_logits(mask, full, any_pixel=True), self.encoded.size, threshold)
        crop = next_crop(self.encoded, Prompt(), whole, self.settings, self.settings.later_zoom_size)
        logits = given_logits(mask, crop)
        output = CropOutput(crop, logits[None], None, (), 0.0, self.encoded.size, threshold)
        return Answer(output.mask(0), output, self.encoded, self.settings)

    def decode_choice(self, given: DecoderInput, answer: Answer, chosen: Mask) -> Answer:
        """Take a candidate of an answer, and decode it again where it asks for another crop.

        A candidate that is truncated by its crop is decoded from the first crop on, because that crop was made for a
        smaller mask; but not if the network sees masks, because it would see none then.

        Args:
            given: the prompt that the answer is for, and the candidate's output.
            answer: the answer.
            chosen: the candidate.
        """
        if is_truncated(self.encoded, chosen) and not given.use_previous:
            return self.decode(given)
        return self._zoom(given, chosen, answer.output)

    def _zoom(self, given: DecoderInput, mask: Mask, output: CropOutput | None) -> Answer:
        """Decode in the mask's crop, in the new mask's crop and so on, until the crop stays.

        Args:
            given: what to decode.
            mask: the first mask.
            output: what that mask is from, if it is an answer to this prompt already.
        """
        for _ in range(max(self.settings.max_zoom_steps, output is None)):
            crop = next_crop(self.encoded, given.prompt, mask, self.settings, self._zoom_size(given))
            if output is not None and crop == mask.crop:
                break
            if output is not None and given.output is None and self.settings.candidate_choice == "first":
                given = replace(given, output=mask.candidate)
            output = self.decode_crop(crop, given, mask if given.use_previous else None)
            mask = self._chosen(output, given)
        assert output is not None, "without one, the loop decodes at least once"
        mask = refined(mask, self.encoded, self.settings.refine)
        if given.kept is not None and mask.refined is not None:
            kept = given.kept  # the network never sees what a refinement gave, so both are kept apart
            mask = replace(mask, refined=_maximum(mask.refined, kept.final_logits, kept.crop, mask.crop))
        return Answer(mask, output, self.encoded, self.settings)

    def _zoom_size(self, given: DecoderInput) -> int:
        return self.settings.later_zoom_size if given.use_previous else self.settings.zoom_size

    def _chosen(self, output: CropOutput, given: DecoderInput) -> Mask:
        """The mask of the output that is taken, with that of ``given.kept``."""
        mask = output.mask(output.best if given.output is None else given.output)
        if given.kept is None:
            return mask
        return replace(mask, logits=_maximum(mask.logits, given.kept.logits, given.kept.crop, mask.crop))

    def decode_crop(self, crop: Crop, given: DecoderInput, previous: Mask | None) -> CropOutput:
        """All candidates of one crop; ``previous`` is the mask that the network sees."""
        encoded, settings = self.encoded, self.settings
        probability = None if previous is None else sigmoid(previous.crop.resample(previous.logits, crop, NOTHING))
        prompt = crop.to_crop(given.prompt)
        logits, ious = self._run(encoded, crop, prompt, probability)
        if settings.flip:
            mirrored_logits, mirrored_ious = self._run_mirrored(crop, given.prompt, probability)
            logits = (logits + mirrored_logits) / 2.0
            ious = None if ious is None or mirrored_ious is None else (ious + mirrored_ious) / 2.0
        if prompt.box is not None:
            logits = confine(logits, prompt.box, prompt.clicks)
        return CropOutput(
            crop, logits, ious, prompt.clicks, given.min_share, encoded.size, settings.threshold, prompt.box
        )

    def _run_mirrored(
        self, crop: Crop, prompt: Prompt, probability: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """Logits and predicted IoU of the mirrored crop, the logits mirrored back; the prompt is the image's."""
        width = self.encoded.size.width
        mirrored = crop.mirrored(width)
        previous = None if probability is None else np.ascontiguousarray(probability[:, ::-1])
        prompt = mirrored.to_crop(prompt.mirrored(width))
        logits, ious = self._run(self.encoded.mirror, mirrored, prompt, previous)
        return logits[..., ::-1], ious

    def _run(
        self, encoded: EncodedImage, crop: Crop, prompt: Prompt, probability: FloatArray | None
    ) -> tuple[FloatArray, FloatArray | None]:
        """The candidates' logits ``(n, H, W)`` and predicted IoU ``(n,)``, the latter None for a single mask."""
        features = encoded.features(crop)
        if self.runtime.capabilities.candidates == 1:
            return self.runtime.decode(features, prompt, probability)[None], None
        return self.runtime.decode_candidates(features, prompt, probability)


def refined(mask: Mask, encoded: EncodedImage, refinement: str | None) -> Mask:
    """The mask with the refinement of that name; as it is without one, or if it was refined before."""
    if refinement is None or mask.refined is not None:
        return mask
    return replace(mask, refined=REFINEMENTS[refinement](mask.crop.crop(encoded.image), mask.logits))


def given_logits(mask: BoolArray, crop: Crop, any_pixel: bool = False) -> FloatArray:
    """Logits of a mask at the scale of a crop.

    Args:
        mask: ``(H, W)`` at the size of the image.
        crop: the crop.
        any_pixel: whether a pixel of the crop is on the object where any pixel of the image in it is.
    """
    part = 255 * mask[crop.top : crop.bottom, crop.left : crop.right].astype(np.uint8)
    smaller = crop.width < part.shape[1]
    share = cv2.resize(
        part, (crop.width, crop.height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    ).astype(np.float32)  # fmt: skip
    if any_pixel:
        share = 255.0 * (share > 0).astype(np.float32)
    return np.asarray(GIVEN_LOGIT * (share / 127.5 - 1.0), np.float32)


def _maximum(logits: FloatArray, kept: FloatArray, kept_crop: Crop, crop: Crop) -> FloatArray:
    """The larger of logits of a crop and those of another crop at each pixel: the union of both masks."""
    return np.maximum(logits, kept_crop.resample(kept, crop, NOTHING))
