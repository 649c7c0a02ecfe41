"""One object in its crop, before it becomes a training sample: the object, its neighbours, copy-paste augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from saywhere.core.arrays import BoolArray
from saywhere.core.prompt import mirrored
from saywhere.models.targets import ClassTargets, PhraseSupervision
from saywhere.training.augment import Affine, Image, is_mirrored
from saywhere.training.phrases import Box, described, phrase_for
from saywhere.training.recipe_parts import PhrasesRecipe
from saywhere.training.targets import Target

MIN_PIXELS = 60  # of an object in its crop; fewer teach nothing
MIN_VISIBLE = 0.6  # share of an object that must stay visible beside what is pasted over it


@dataclass(frozen=True)
class Crop:
    """A crop of an image around one of its objects.

    Attributes:
        image: ``(S, S, 3)`` uint8 RGB.
        target: ``(S, S)``, the object.
        ignore: ``(S, S)``, pixels that do not count.
        chosen: the object.
        neighbours: the other objects of the image.
        neighbour_masks: ``(S, S)`` each, where they are in the crop.
        transform: from pixels of the image to pixels of the crop.
        is_composed: whether something of another image was pasted into it, or it into another image.
    """

    image: Image
    target: BoolArray
    ignore: BoolArray
    chosen: Target
    neighbours: Sequence[Target]
    neighbour_masks: Sequence[BoolArray]
    transform: Affine
    is_composed: bool = False

    @property
    def others(self) -> BoolArray:
        """``(S, S)``: the other objects together."""
        masks = self.neighbour_masks
        return np.logical_or.reduce(masks) if masks else np.zeros_like(self.target)

    def label_of(self, target: Target) -> str:
        """A label as it is in the crop: left and right are swapped in a mirrored one."""
        return mirrored(target.label) if is_mirrored(self.transform) else target.label


@dataclass(frozen=True)
class SamplePhrase:
    """A phrase of a sample.

    Attributes:
        text: the phrase; None without one.
        applies: ``(S, S)``, where it applies; None without a phrase.
        only: whether it comes without a click.
    """

    text: str | None = None
    applies: BoolArray | None = None
    only: bool = False


def right_phrase(crop: Crop, settings: PhrasesRecipe, rng: np.random.Generator) -> SamplePhrase:
    """A phrase that names the crop's object: one of its referring expressions, or its label or a synonym."""
    expressions = crop.chosen.sample.expressions
    if expressions and rng.random() < settings.expression_prob:
        expression = expressions[int(rng.integers(len(expressions)))]
        # Left and right are swapped in a mirrored crop.
        text = mirrored(expression) if is_mirrored(crop.transform) else expression
        return SamplePhrase(text, crop.target, bool(rng.random() < settings.phrase_only_prob))
    if not crop.chosen.label:
        return SamplePhrase()
    pairs = zip(crop.neighbours, crop.neighbour_masks, strict=True)
    same = [mask for other, mask in pairs if other.label == crop.chosen.label]
    same = [mask for mask in same if np.count_nonzero(mask) >= MIN_PIXELS]
    boxes = [box_shares(mask) for mask in same]
    label = crop.label_of(crop.chosen)
    names = settings.synonyms
    text, unambiguous = phrase_for(label, box_shares(crop.target), boxes, names, rng, settings.qualifier_prob)
    if settings.described_phrase_prob and rng.random() < settings.described_phrase_prob:
        beside = {other.label for other in crop.neighbours} - {crop.chosen.label, ""}
        text = described(text, sorted(beside), rng)
    applies = crop.target if unambiguous else np.logical_or.reduce([crop.target, *same])
    return SamplePhrase(text, applies, unambiguous and bool(rng.random() < settings.phrase_only_prob))


def phrase_supervision(crop: Crop, phrase: SamplePhrase, classes: ClassTargets | None = None) -> PhraseSupervision:
    """What is known of the labels and of the teacher's ``classes`` in a crop, at an eighth of its size."""
    objects = zip([crop.chosen, *crop.neighbours], [crop.target, *crop.neighbour_masks], strict=True)
    labelled = [(crop.label_of(target), downsample_by_8(mask)) for target, mask in objects if target.label]
    return PhraseSupervision(
        tuple((label, mask) for label, mask in labelled if mask.any()),
        None if phrase.applies is None else downsample_by_8(phrase.applies),
        classes,
    )


def downsample_by_8(mask: BoolArray) -> BoolArray:
    """A square mask at an eighth of its size: a cell is inside where most of its pixels are."""
    side = mask.shape[0] // 8
    return np.asarray(cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) > 0.5)


def box_shares(mask: BoolArray) -> Box:
    """The box of a mask as x, y, width, height in shares of its sides."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    return x / mask.shape[1], y / mask.shape[0], w / mask.shape[1], h / mask.shape[0]
