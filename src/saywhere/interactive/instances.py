"""All instances of what a phrase names: candidate masks with scores, without duplicates.

The whole image and overlapping tiles of it are encoded, so that small instances are large enough for the network. Each
peak of the relevance map of such a window is clicked on. Of the masks that this gives, those that are relevant inside
and of a high predicted IoU stay, and of those that overlap the best one. Its box is the prompt for the final mask.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core import robot
from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.crop import Crop
from saywhere.core.mask import NOTHING, Mask
from saywhere.core.prompt import Click, Prompt
from saywhere.core.relevance import relevance_peaks
from saywhere.interactive.decoding import DecoderInput, MaskDecoder
from saywhere.interactive.effective_prompt import decoder_input

TILES = 2  # to each side
TILE_SHARE = 0.55  # side of a tile over that of the image: an object on the border of one is inside another
PEAKS = 100  # of a window's relevance map
CLICKS = 16  # in a window, at most
CLICKS_ON_ONE = 2  # candidates of a window that show a peak, from which on it is not clicked on
LEAST_PEAK = 0.3  # relevance of a peak that is clicked on
LEAST_SCORE = 0.45  # of an instance; see docs/measurements.md
MAX_INSTANCES = 60
MAX_IOU, MAX_CONTAINED = 0.5, 0.8  # of two instances; the second is the intersection over the smaller area
SAME_OBJECT = 0.7  # IoU from which on an object of another kind is the same one
COMPARED_SIDE = 400  # longer side, in pixels, at which masks are compared
LEAST_AREA = 20  # pixels of a window that a mask has at least


@dataclass(frozen=True)
class Instance:
    """One object of what was looked for.

    Attributes:
        mask: its mask.
        score: in [0, 1], from the predicted IoU and the relevance inside; the higher the surer.
        click: a pixel on it, in pixels of the image.
        prompt: what the mask is the answer to: its box, or with weights that know no boxes the click.
    """

    mask: Mask
    score: float
    click: Click
    prompt: Prompt = field(repr=False)


@dataclass(frozen=True)
class _Candidate:
    """A mask of one window, compared at low resolution."""

    region: BoolArray = field(repr=False)
    relevance: float
    score: float


class InstanceSearch:
    """A search for the instances of what a phrase names, one window after another.

    Args:
        decoder: of the image.
        phrase: a checked phrase; None: the likelihood alone says where.
        likelihood: ``(h, w)`` in [0, 1], of any size: where objects of this kind are by other evidence.
        existing: ``(H, W)`` masks of such objects that are known; they, their parts and what holds them are left out.
        others: ``(H, W)`` masks of objects of other kinds: an object that is one of them is left out.

    Attributes:
        windows: what there is to search.
    """

    def __init__(
        self,
        decoder: MaskDecoder,
        phrase: str | None,
        likelihood: FloatArray | None = None,
        existing: Iterable[BoolArray] = (),
        others: Iterable[BoolArray] = (),
    ) -> None:
        size = decoder.encoded.size
        self._decoder, self._phrase, self._likelihood = decoder, phrase, likelihood
        self._compared = Crop.from_box((0, 0, size.width, size.height), size, COMPARED_SIDE)
        self._known = [_reduced(mask, self._compared) for mask in existing]
        self._foreign = [_reduced(mask, self._compared) for mask in others]
        self._candidates: list[_Candidate] = []
        self.windows = _windows(decoder)

    def search(self, window: Crop) -> None:
        """Look for instances in one of the windows."""
        relevance, free = self._relevance(window)
        for region in self._known:
            free[self._compared.resample(region.astype(np.float32), window, 0.0) > 0.5] = 0.0
        shown = np.zeros(free.shape, np.int32)
        left = CLICKS
        for peak in relevance_peaks(free, PEAKS, LEAST_PEAK):
            if left and shown[int(peak.y), int(peak.x)] < CLICKS_ON_ONE:
                left -= 1
                shown += self._click(window, relevance, peak)

    def found(self) -> list[Instance]:
        """The instances in the windows that were searched, the highest score first."""
        regions = [one.region for one in self._candidates]
        best = self._without_duplicates(self._candidates, regions)[:MAX_INSTANCES]
        instances = [self._instance(self._candidates[number]) for number in best]
        regions = [_region(one.mask.final_logits, one.mask.crop, self._compared) for one in instances]
        return [instances[number] for number in self._without_duplicates(instances, regions)]

    def _relevance(self, window: Crop) -> tuple[FloatArray, FloatArray]:
        """``(height, width)`` of a window: where objects of this kind are, for scores and for clicks.

        In a window without any, what is most like them is too relevant: for scores the whole image counts as much.
        """
        encoded, scored, clicked = self._decoder.encoded, [], []
        if self._phrase is not None:
            near = self._decoder.runtime.relevance(encoded.features(window), self._phrase)
            far = encoded.full_crop.resample(encoded.relevance(self._phrase), window, 0.0)
            scored.append(np.sqrt(np.clip(near, 0.0, 1.0) * np.clip(far, 0.0, 1.0)))
            clicked.append(near)
        if self._likelihood is not None:
            rows, columns = self._likelihood.shape
            whole = Crop(0, 0, encoded.size.width, encoded.size.height, columns, rows)
            likely = whole.resample(self._likelihood, window, 0.0)
            scored.append(likely)
            clicked.append(likely)
        return np.asarray(np.maximum.reduce(scored), np.float32), np.array(np.maximum.reduce(clicked), np.float32)

    def _click(self, window: Crop, relevance: FloatArray, peak: Click) -> BoolArray:
        """Keep those of the network's masks for a click that may be instances; the best one, in the window."""
        click = window.click_to_image(peak)
        given = DecoderInput(Prompt((click,), self._phrase), min_share=self._decoder.settings.unclicked_components)
        output = self._decoder.decode_crop(window, given, None)
        best, best_score = np.zeros(relevance.shape, np.bool_), 0.0
        for number in range(len(output.logits)):
            mask = output.mask(number)
            inside = np.asarray(mask.logits > 0.0)
            box = window.bounding_box(inside)
            if box is None or int(np.count_nonzero(inside)) < LEAST_AREA:
                continue
            relevant = float(relevance[inside].mean())
            score = _score(mask, relevant)
            if score < LEAST_SCORE or window.is_truncated(box, self._decoder.encoded.size):
                continue
            region = _region(mask.logits, window, self._compared)
            if region.any():
                self._candidates.append(_Candidate(region, relevant, score))
                best, best_score = (inside, score) if score > best_score else (best, best_score)
        return best

    def _instance(self, candidate: _Candidate) -> Instance:
        """The instance that a candidate shows, segmented again in a crop of its own."""
        decoder, compared = self._decoder, self._compared
        first = robot.first_click(candidate.region)
        click = compared.click_to_image(first)
        box = compared.bounding_box(candidate.region)
        if decoder.runtime.capabilities.boxes and box is not None:
            prompt = Prompt((), None, box)
        else:
            radius = float(robot.boundary_distance(candidate.region)[int(first.y), int(first.x)])
            radius *= decoder.encoded.size.longer_side / max(compared.width, compared.height)
            prompt = Prompt((Click(click.x, click.y, True, radius if decoder.runtime.capabilities.drags else None),))
        mask = decoder.decode(decoder_input(decoder, prompt)).mask
        return Instance(mask, _score(mask, candidate.relevance), click, prompt)

    def _without_duplicates(self, scored: Sequence[_Candidate | Instance], regions: Sequence[BoolArray]) -> list[int]:
        """Non-maximum suppression by IoU and containment: the indices that stay, the highest score first."""
        kept: list[int] = []
        taken = list(self._known)
        for number in sorted(range(len(scored)), key=lambda each: -scored[each].score):
            region = regions[number]
            if scored[number].score < LEAST_SCORE or not region.any():
                continue
            if any(_overlap(region, other)[0] >= SAME_OBJECT for other in self._foreign):
                continue
            overlaps = [_overlap(region, other) for other in taken]
            if all(iou < MAX_IOU and contained < MAX_CONTAINED for iou, contained in overlaps):
                kept.append(number)
                taken.append(region)
        return kept


def _windows(decoder: MaskDecoder) -> list[Crop]:
    """The whole image and its tiles."""
    encoded = decoder.encoded
    (height, width), step = encoded.size, (1.0 - TILE_SHARE) / (TILES - 1)
    tiles = [
        Crop.from_box(
            (column * step * width, row * step * height,
             (column * step + TILE_SHARE) * width, (row * step + TILE_SHARE) * height),
            encoded.size, decoder.settings.zoom_size,
        )
        for row in range(TILES)
        for column in range(TILES)
    ]  # fmt: skip
    return [encoded.full_crop, *tiles]


def _score(mask: Mask, relevant: float) -> float:
    """How sure it is that a mask is an instance: predicted and expected IoU times the mean relevance inside."""
    return mask.score * (1.0 if mask.predicted_iou is None else mask.predicted_iou) * relevant


def _region(logits: FloatArray, crop: Crop, compared: Crop) -> BoolArray:
    """A mask of a crop at the size at which masks are compared."""
    return np.asarray(crop.resample(logits, compared, NOTHING) > 0.0, np.bool_)


def _overlap(first: BoolArray, second: BoolArray) -> tuple[float, float]:
    """The IoU of two masks that are not empty, and their intersection over the smaller one's area."""
    common = int(np.count_nonzero(first & second))
    areas = int(np.count_nonzero(first)), int(np.count_nonzero(second))
    return common / max(sum(areas) - common, 1), common / max(min(areas), 1)


def _reduced(mask: BoolArray, compared: Crop) -> BoolArray:
    """A mask of the image at the size at which masks are compared."""
    part: NDArray[np.uint8] = mask.astype(np.uint8) * 255
    small = cv2.resize(part, (compared.width, compared.height), interpolation=cv2.INTER_AREA)
    return np.asarray(small >= 128, np.bool_)
