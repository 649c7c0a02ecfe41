"""Training samples by number: which object is drawn, how it is cropped, its phrase and its first clicks.

Sample n of a run depends only on the recipe's seed and on n, so a run that was killed resumes with the samples that it
would have seen.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from saywhere.core import robot
from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.images import read_image
from saywhere.core.prompt import Click, Prompt
from saywhere.data.datasets import Sample
from saywhere.data.datasets.sample import ImageMember
from saywhere.data.datasets.shards import is_shards
from saywhere.errors import SaywhereError
from saywhere.models.targets import ClassTargets, PhraseSupervision
from saywhere.storage.cache import cache_folder
from saywhere.text.class_names import imagenet_classes
from saywhere.text.words import label_words
from saywhere.training.augment import (
    Affine,
    crop_transform,
    paste,
    recolour,
    scale_transform,
    stretch_transform,
    warp,
    warp_box,
)
from saywhere.training.batch import TrainingSample
from saywhere.training.class_maps import ClassMaps
from saywhere.training.class_targets import PhraseDrawer
from saywhere.training.crops import MIN_PIXELS, MIN_VISIBLE, Crop, SamplePhrase, phrase_supervision, right_phrase
from saywhere.training.first_clicks import initial_clicks, single_click
from saywhere.training.phrases import wrong_phrase
from saywhere.training.pretrained import find_pretrained
from saywhere.training.recipe import Recipe
from saywhere.training.recipe_parts import SamplingRecipe
from saywhere.training.targets import list_targets, sampling_probabilities
from saywhere.training.token_maps import TokenMaps

SIZES = 4000  # a stream of random numbers, apart from those of samples, corrections and rounds
ATTEMPTS = 1000  # to draw an object that is visible and whose image may be used
PASTED_ZOOM = (1.2, 4.0)  # range of the crop's side over the longer side of an object that is pasted into it


@dataclass(frozen=True)
class Draw:
    """What a sample is about.

    Attributes:
        target: the index of the object.
        has_phrase: whether there is a phrase.
        is_wrong: whether the phrase names something else.
        drags: whether clicks carry a radius.
        has_box: whether there is a box.
        has_clicks: whether there are clicks beside the box.
        size: the side of the crop, in pixels.
    """

    target: int
    has_phrase: bool
    is_wrong: bool
    drags: bool
    has_box: bool = False
    has_clicks: bool = True
    size: int = 256


def source_of(sample: Sample) -> Path | ImageMember:
    """What a sample's image is read from."""
    return sample.image_path if sample.member is None else sample.member


def _read(source: Path | ImageMember) -> ImageArray:
    return read_image(source) if isinstance(source, Path) else source.read_image()


class CropDataset(Dataset[TrainingSample]):
    """Sample n of a run, for every n.

    Args:
        recipe: the settings of one run, without stages.

    Raises:
        SaywhereError: the recipe's data has no objects.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.token_maps = TokenMaps.of_recipe(recipe)
        self.targets = list_targets(recipe)
        if not self.targets:
            raise SaywhereError("recipe: no object is left to draw; see its data and phrases.held_out")
        phrases, sampling = recipe.phrases, recipe.sampling
        self.cumulative = self._cumulative(sampling)
        changes = {"part_weight": phrases.part_weight, "small_area": phrases.small_area}
        of_phrases = sampling.model_copy(update=changes)
        self.cumulative_with_phrase = self._cumulative(of_phrases, phrases.rare_label_power)
        dragged = sampling.dragged_part_weight
        of_drags = sampling if dragged is None else sampling.model_copy(update={"part_weight": dragged})
        self.cumulative_of_drags = self._cumulative(of_drags)
        self.labels = sorted({word for word in self.targets.words if word})
        named = [self.targets.names(i) for i, data in enumerate(recipe.data) if data.labels_are_names]
        self.trained_on = sorted({label for labels in named for label in labels if label})
        teacher = recipe.teacher
        self.class_maps, self.class_phrases = None, None
        if teacher.weights is not None:
            self.class_maps = ClassMaps(find_pretrained(teacher.weights), cache_folder(teacher.cache, "class-maps"))
            self.class_phrases = PhraseDrawer(imagenet_classes(), teacher.phrases)
        named_by_teacher = self.class_phrases.phrases if self.class_phrases else []
        synonyms = [other for label in self.labels for other in recipe.phrases.synonyms.get(label, ())]
        self.phrases = sorted({*map(label_words, self.trained_on), *synonyms, *named_by_teacher})
        self._check_files()
        self.read = lru_cache(maxsize=recipe.crop.cached_images)(_read)
        self.mask_in_box = lru_cache(maxsize=4 * recipe.crop.cached_images)(self._mask_in_box)

    def _check_files(self) -> None:
        """SaywhereError where tokens or classes of images are kept by file, but the images lie in shards."""
        shards = next((data.path for data in self.recipe.data if is_shards(data.path)), None)
        if shards and (self.token_maps or self.class_maps):
            raise SaywhereError(
                f"recipe: data '{shards}': image tokens and the teacher's class maps are kept by image file; give a "
                "dataset of files, or set model.options.tokens and teacher.weights to null"
            )

    def _cumulative(self, sampling: SamplingRecipe, rare_label_power: float = 0.0) -> NDArray[np.float64]:
        return np.cumsum(sampling_probabilities(self.recipe, self.targets, sampling, rare_label_power))

    def _mask_in_box(self, index: int) -> NDArray[np.uint8]:
        """``(h, w)``: a target's mask within its box."""
        return np.ascontiguousarray(self.targets[index].region.cropped()[2], np.uint8)

    @property
    def epoch_samples(self) -> int:
        """How many samples an epoch has where the recipe does not say: one for each object, or for each image."""
        if self.recipe.sampling.unit == "object":
            return len(self.targets)
        return len(self.targets.image_paths())

    def read_all(self) -> None:
        """Read as many images as may be cached, for loaders to share that are forked from this process."""
        first = dict(zip(reversed(self.targets.images.tolist()), reversed(range(len(self.targets))), strict=True))
        chosen = sorted(first.values())[: self.recipe.crop.cached_images]
        with ThreadPoolExecutor() as threads:
            for _ in threads.map(self.read, dict.fromkeys(source_of(self.targets[i].sample) for i in chosen)):
                pass

    def __getitem__(self, number: int) -> TrainingSample:
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self.recipe.seed, number, attempt))
            sample = self._sample(number, rng)
            if sample is not None:
                return sample
        raise RuntimeError(f"sample {number} of seed {self.recipe.seed}: no object shows {MIN_PIXELS} pixels")

    def _sample(self, number: int, rng: np.random.Generator) -> TrainingSample | None:
        """A sample, or None when the object that was drawn is hardly visible, or its image must not be used yet."""
        draw = self._draw(number, rng)
        path = self.targets[draw.target].sample.image_path
        if self.token_maps and self.recipe.image_tokens.cached_only and not self.token_maps.is_kept(path):
            return None
        crop = self._crop(draw, rng)
        if crop is None:
            return None
        probability = self.recipe.crop.copy_paste_prob
        if not draw.has_phrase and (draw.has_clicks or draw.has_box) and probability and rng.random() < probability:
            crop = self._copy_paste(crop, draw.size, rng)
        phrase = self._phrase(crop, draw, rng)
        clicks = self._clicks(crop, draw, phrase, rng) if draw.has_clicks and not phrase.only else []
        box = robot.jittered_box(crop.target, self.recipe.clicks.box_jitter, rng) if draw.has_box else None
        tokens = None
        if self.token_maps is not None:
            size = ImageSize(*crop.chosen.region.size)
            tokens = torch.from_numpy(self.token_maps.in_crop(path, size, crop.transform, draw.size))
        supervision = PhraseSupervision((), None)
        if self.recipe.phrases.phrase_prob:
            supervision = phrase_supervision(crop, phrase, self._class_targets(crop, rng))
        return TrainingSample(
            image=torch.from_numpy(crop.image.transpose(2, 0, 1).copy()),
            target=torch.from_numpy(crop.target[None].astype(np.uint8)),
            ignore=torch.from_numpy(crop.ignore[None].astype(np.uint8)),
            prompt=Prompt(tuple(clicks), phrase.text, box),
            drags=draw.drags,
            number=number,
            supervision=supervision,
            centre=self._centre(crop, clicks, draw),
            is_part=crop.chosen.is_part,
            tokens=tokens,
        )

    def _size(self, number: int) -> int:
        """The side of the crops of a sample's step, in pixels: one for all of its samples."""
        settings = self.recipe.crop
        if not settings.sizes:
            return settings.size
        rng = np.random.default_rng((self.recipe.seed, number // self.recipe.batch, SIZES))
        return settings.sizes[int(rng.integers(len(settings.sizes)))]

    def _draw(self, number: int, rng: np.random.Generator) -> Draw:
        """Draw what a sample is about. A wrong phrase comes with an object that a click alone would mean."""
        phrases = self.recipe.phrases
        has_phrase = bool(rng.random() < phrases.phrase_prob)
        is_wrong = has_phrase and bool(rng.random() < phrases.wrong_phrase_prob)
        clicks = self.recipe.clicks
        drags = bool(rng.random() < clicks.drag_prob)
        has_box = bool(clicks.box_prob and rng.random() < clicks.box_prob)
        has_clicks = not (has_box and rng.random() < clicks.box_only_prob)
        if has_phrase and not is_wrong:
            cumulative = self.cumulative_with_phrase
        else:  # a box tells a part from the whole as a drag does
            cumulative = self.cumulative_of_drags if drags or has_box else self.cumulative
        index = min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(self.targets) - 1)
        salient = self.recipe.data[self.targets[index].data].salient
        if salient and clicks.no_prompt_prob and rng.random() < clicks.no_prompt_prob:
            has_box = has_clicks = False
        return Draw(index, has_phrase, is_wrong, drags, has_box, has_clicks, self._size(number))

    def _crop(self, draw: Draw, rng: np.random.Generator) -> Crop | None:
        """A random crop around a target, or None when that is hardly visible."""
        index, size = draw.target, draw.size
        chosen = self.targets[index]
        image = self.read(source_of(chosen.sample))
        image_size = ImageSize(image.shape[0], image.shape[1])
        transform = self._transform(draw, image_size, rng)
        ignore = self._ignored(index, image_size, transform, size)
        target = self._cropped_mask(index, transform, size) & ~ignore
        if np.count_nonzero(target) < MIN_PIXELS:
            return None
        return Crop(
            image=recolour(warp(image, transform, size), rng, self.recipe.augment),
            target=target,
            ignore=ignore,
            chosen=chosen,
            neighbours=[self.targets[i] for i in chosen.others],
            neighbour_masks=[self._cropped_mask(i, transform, size) & ~ignore for i in chosen.others],
            transform=transform,
        )

    def _transform(self, draw: Draw, image_size: ImageSize, rng: np.random.Generator) -> Affine:
        """Where a crop is cut, and how it is transformed."""
        settings, augment = self.recipe.crop, self.recipe.augment
        if settings.mode == "stretch":
            return stretch_transform(image_size, draw.size, rng, augment)
        if settings.mode == "scale":
            return scale_transform(image_size, draw.size, settings, rng, augment)
        # What stands out does so in the whole image.
        full_image = bool(rng.random() < settings.full_image_prob) or not (draw.has_clicks or draw.has_box)
        box = self.targets[draw.target].box
        return crop_transform(box, image_size, draw.size, full_image, settings.zoom, rng, augment)

    def _cropped_mask(self, index: int, transform: Affine, size: int) -> BoolArray:
        """``(S, S)``: a target's mask in a crop."""
        return warp_box(self.mask_in_box(index), self.targets[index].box, transform, size) > 0

    def _ignored(self, index: int, image_size: ImageSize, transform: Affine, size: int) -> BoolArray:
        """``(S, S)``: what lies outside the image, and what its data set does not count."""
        height, width = image_size
        ignore = warp_box(np.ones(image_size, np.uint8), (0.0, 0.0, width, height), transform, size) == 0
        uncounted = self.targets[index].sample.ignore()
        if uncounted is not None:
            mask = np.asarray(uncounted, np.uint8)
            ignore |= warp(mask, transform, size, nearest=True, border=cv2.BORDER_REFLECT_101) > 0
        return np.asarray(ignore, np.bool_)

    def _copy_paste(self, crop: Crop, size: int, rng: np.random.Generator) -> Crop:
        """Paste the crop's object into another image, or another image's object into the crop.

        A part is not pasted, and nothing is pasted that hides most of the object: then the crop stays as it is.
        """
        index = int(np.searchsorted(self.cumulative, rng.random() * self.cumulative[-1]))
        other = self.targets[index]
        image = self.read(source_of(other.sample))
        as_background = bool(rng.random() < 0.5)
        if as_background and crop.chosen.is_part:
            return crop
        image_size = ImageSize(image.shape[0], image.shape[1])
        augment = self.recipe.augment
        transform = crop_transform(other.box, image_size, size, as_background, PASTED_ZOOM, rng, augment)
        pasted = recolour(warp(image, transform, size), rng, augment)
        if as_background:
            own = crop.target
            composed = paste(crop.image, own, pasted, rng)
        else:
            front = self._cropped_mask(index, transform, size)
            own = ~front
            least = max(MIN_PIXELS, MIN_VISIBLE * np.count_nonzero(crop.target))
            if np.count_nonzero(crop.target & own) < least:
                return crop
            composed = paste(pasted, front, crop.image, rng)
        return replace(
            crop,
            image=composed,
            target=crop.target & own,
            ignore=crop.ignore & own,
            neighbour_masks=[mask & own for mask in crop.neighbour_masks],
            is_composed=True,
        )

    def _phrase(self, crop: Crop, draw: Draw, rng: np.random.Generator) -> SamplePhrase:
        if not self.recipe.data[crop.chosen.data].labels_are_names:
            return SamplePhrase()  # what is in the image is not known, so no phrase is known to be wrong
        if draw.is_wrong:
            present = {other.label for other in crop.neighbours}
            text = wrong_phrase(crop.chosen.label, present, self.labels, rng)
            return SamplePhrase(text, np.zeros_like(crop.target))
        if draw.has_phrase and (crop.chosen.label or crop.chosen.sample.expressions):
            return right_phrase(crop, self.recipe.phrases, rng)
        return SamplePhrase()

    def _class_targets(self, crop: Crop, rng: np.random.Generator) -> ClassTargets | None:
        """What the teacher sees in the crop; None without a teacher, and where another image was pasted."""
        if self.class_maps is None or self.class_phrases is None or crop.is_composed:
            return None
        targets = [crop.chosen, *crop.neighbours]
        path = crop.chosen.sample.image_path
        classes = self.class_maps.read(path, {target.sample.name: target.region for target in targets})
        height, width = crop.chosen.region.size
        return self.class_phrases.targets(crop, ImageSize(height, width), classes, rng)

    def _clicks(self, crop: Crop, draw: Draw, phrase: SamplePhrase, rng: np.random.Generator) -> list[Click]:
        """The initial clicks. A part with its name, a drag or a box needs no negative click."""
        settings = self.recipe.clicks
        is_named = phrase.text is not None and not draw.is_wrong
        needs_negative = crop.chosen.is_part and not (draw.drags or draw.has_box or is_named)
        if needs_negative and settings.part_single_click_prob:
            needs_negative = bool(rng.random() >= settings.part_single_click_prob)
        multiple = needs_negative or bool(rng.random() < settings.multi_click_prob)
        if settings.robot == "mixed":
            arguments = crop.target, crop.ignore, crop.others, multiple, needs_negative, draw.drags
            counts = settings.positive_clicks, settings.negative_clicks
            return initial_clicks(*arguments, rng, settings.first_click, *counts)
        return [single_click(crop.target, settings.robot, draw.drags, rng)]

    def _centre(self, crop: Crop, clicks: list[Click], draw: Draw) -> Click | None:
        """The click at the object's centre, where a single click elsewhere is to give the same mask."""
        if not self.recipe.clicks.consistency_weight or len(clicks) != 1:
            return None
        centre = robot.first_click(crop.target, drag=draw.drags)
        return None if (centre.x, centre.y) == (clicks[0].x, clicks[0].y) else centre
