"""Training crops: which object is drawn, how it is shown and what is clicked first.

TrainingSample number n of a run depends only on the recipe's seed and on n, so a run that was killed goes on with
the crops it would have seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from saywhere.core.images import read_image
from saywhere.core.prompt import Prompt, mirrored
from saywhere.errors import SaywhereError
from saywhere.models.targets import PhraseSupervision
from saywhere.training.augment import Affine, Image, crop_transform, paste, recolour, warp, warp_box
from saywhere.training.batch import TrainingSample
from saywhere.training.first_clicks import initial_clicks, single_click
from saywhere.training.phrases import described, phrase_for
from saywhere.training.recipe import Recipe
from saywhere.training.targets import Target, list_targets, sampling_weights

SMALLEST = 60  # pixels of an object in its crop; fewer teach nothing
LEFT = 0.6  # share of an object that must be seen beside what is pasted before it


class CropDataset(Dataset[TrainingSample]):
    """TrainingSample number n of a run, for every n."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.targets = list_targets(recipe)
        if not self.targets:
            raise SaywhereError("recipe: no object is left to draw; see its data and phrases.held_out")
        phrases = recipe.phrases
        self.cumulative = np.cumsum(sampling_weights(recipe, self.targets, recipe.sampling))
        spoken = recipe.sampling.model_copy(update={"part": phrases.part, "full_area": phrases.full_area})
        self.cumulative_spoken = np.cumsum(sampling_weights(recipe, self.targets, spoken, phrases.rare))
        by_drag = recipe.sampling.model_copy(
            update={} if recipe.sampling.dragged_part is None else {"part": recipe.sampling.dragged_part}
        )
        self.cumulative_dragged = np.cumsum(sampling_weights(recipe, self.targets, by_drag))
        self.labels = sorted({target.label for target in self.targets if target.label})
        self.trained_on = sorted({target.sample.label for target in self.targets if target.sample.label})
        self.read = lru_cache(maxsize=recipe.crop.cache)(read_image)
        self.inside = lru_cache(maxsize=4 * recipe.crop.cache)(self._inside)

    def read_all(self) -> None:
        """Read as many photographs as may be kept, for loaders to share that are forked from this process."""
        photos = list(dict.fromkeys(target.sample.image_path for target in self.targets))[: self.recipe.crop.cache]
        with ThreadPoolExecutor() as threads:
            for _ in threads.map(self.read, photos):
                pass

    def _inside(self, index: int) -> NDArray[np.uint8]:
        """Which pixels of a target's box are its own."""
        _, _, inside = self.targets[index].region.cropped()
        return np.ascontiguousarray(inside, np.uint8)

    def __getitem__(self, number: int) -> TrainingSample:
        # One thread: a loader that competes with the training threads slows both.
        cv2.setNumThreads(0)
        for attempt in range(100):
            rng = np.random.default_rng((self.recipe.seed, number, attempt))
            crop = self._cut(number, rng)
            if crop is not None:
                return crop
        raise RuntimeError(f"crop {number} of seed {self.recipe.seed}: no object shows {SMALLEST} pixels")

    def _cut(self, number: int, rng: np.random.Generator) -> TrainingSample | None:
        settings, phrases = self.recipe.crop, self.recipe.phrases
        size = settings.size
        spoken = bool(rng.random() < phrases.phrase_prob)
        # A wrong phrase comes with an object that a click alone would mean.
        wrong = spoken and bool(rng.random() < phrases.wrong_phrase_prob)
        drags = bool(rng.random() < self.recipe.clicks.drag_prob)
        if spoken and not wrong:
            cumulative = self.cumulative_spoken
        else:
            cumulative = self.cumulative_dragged if drags else self.cumulative
        index = min(int(np.searchsorted(cumulative, rng.random(), side="right")), len(self.targets) - 1)
        chosen = self.targets[index]
        photo = self.read(chosen.sample.image_path)
        whole = rng.random() < settings.full_image_prob
        transform = crop_transform(chosen.box, (photo.shape[0], photo.shape[1]), size, whole, settings.zoom, rng)

        def cut(mask: NDArray[np.bool_] | NDArray[np.uint8], border: int = cv2.BORDER_REFLECT_101) -> NDArray[np.bool_]:
            return warp(np.asarray(mask, np.uint8), transform, size, nearest=True, border=border) > 0

        def cut_object(index: int) -> NDArray[np.bool_]:
            return warp_box(self.inside(index), self.targets[index].box, transform, size) > 0

        target = cut_object(index)
        height, width = photo.shape[:2]
        ignore = warp_box(np.ones((height, width), np.uint8), (0.0, 0.0, width, height), transform, size) == 0
        not_counted = chosen.sample.ignore()
        if not_counted is not None:
            ignore |= cut(not_counted)
        target &= ~ignore
        if np.count_nonzero(target) < SMALLEST:
            return None
        image = recolour(warp(photo, transform, size), rng)
        neighbours = [self.targets[i] for i in chosen.others]
        seen = [cut_object(i) & ~ignore for i in chosen.others]
        if not spoken and settings.copy_paste_prob and rng.random() < settings.copy_paste_prob:
            found = self._composed(image, target, chosen.is_part, rng)
            if found is not None:
                image, own = found
                target, ignore, seen = target & own, ignore & own, [mask & own for mask in seen]
        others = np.logical_or.reduce(seen) if seen else np.zeros_like(target)
        phrase, meant, alone = None, None, False
        if wrong:
            phrase, meant = self._wrong_phrase(chosen, rng), np.zeros_like(target)
        elif spoken and chosen.label:
            phrase, meant, alone = self._phrase(chosen, neighbours, target, seen, transform, rng)
        # A part whose name is said, or whose size is dragged, needs no click off what surrounds it.
        lone_part = chosen.is_part and not drags and (phrase is None or wrong)
        several = lone_part or bool(rng.random() < self.recipe.clicks.multi_click_prob)
        if alone:
            clicks = []
        elif self.recipe.clicks.robot == "mixed":
            clicks = initial_clicks(target, ignore, others, several, lone_part, drags, rng)
        else:
            clicks = [single_click(target, self.recipe.clicks.robot, drags, rng)]
        return TrainingSample(
            torch.from_numpy(image.transpose(2, 0, 1).copy()),
            torch.from_numpy(target[None].astype(np.uint8)),
            torch.from_numpy(ignore[None].astype(np.uint8)),
            Prompt(tuple(clicks), phrase),
            drags,
            number,
            self._phrase_supervision([chosen, *neighbours], [target, *seen], transform, meant),
        )

    def _composed(
        self, image: Image, target: NDArray[np.bool_], is_part: bool, rng: np.random.Generator
    ) -> tuple[Image, NDArray[np.bool_]] | None:
        """The crop with another photograph: its picture, and which pixels of it are freeze_batch_norm the crop's own.

        Either the object stands before the other photograph, or an object of that stands before the crop, if enough of
        the target is left to be seen. A part stays where it is.
        """
        number = int(np.searchsorted(self.cumulative, rng.random() * self.cumulative[-1]))
        other = self.targets[number]
        photo, size, swap = self.read(other.sample.image_path), self.recipe.crop.size, bool(rng.random() < 0.5)
        if swap and is_part:
            return None
        zoom = (1.2, 4.0)
        transform = crop_transform(other.box, (photo.shape[0], photo.shape[1]), size, swap, zoom, rng)
        picture = recolour(warp(photo, transform, size), rng)
        if swap:
            return paste(image, target, picture, rng), target
        front = warp_box(self.inside(number), other.box, transform, size) > 0
        if np.count_nonzero(target & ~front) < max(SMALLEST, LEFT * np.count_nonzero(target)):
            return None
        return paste(picture, front, image, rng), ~front

    def _wrong_phrase(self, chosen: Target, rng: np.random.Generator) -> str:
        """A label that nothing labelled in the photograph has, or half of the time that of something else in it."""
        present = {self.targets[i].label for i in chosen.others} - {chosen.label, ""}
        absent = [label for label in self.labels if label != chosen.label and label not in present]
        choice = sorted(present) if present and rng.random() < 0.5 else absent
        return choice[int(rng.integers(len(choice)))] if choice else "thing"

    def _phrase(
        self, chosen: Target, neighbours: Sequence[Target], target: NDArray[np.bool_],
        seen: Sequence[NDArray[np.bool_]], transform: Affine, rng: np.random.Generator,
    ) -> tuple[str, NDArray[np.bool_], bool]:  # fmt: skip
        """A phrase for the chosen object, where in the crop it applies, and whether it comes before any click."""
        flipped = np.linalg.det(transform[:, :2]) < 0
        likes = [mask for other, mask in zip(neighbours, seen, strict=True) if other.label == chosen.label]
        likes = [mask for mask in likes if np.count_nonzero(mask) >= SMALLEST]
        label = mirrored(chosen.label) if flipped else chosen.label
        phrase, unmistakable = phrase_for(
            label, share_box(target), [share_box(mask) for mask in likes], self.recipe.phrases.synonyms, rng
        )
        settings = self.recipe.phrases
        if settings.described_phrase_prob and rng.random() < settings.described_phrase_prob:
            beside = {other.label for other in neighbours} - {chosen.label, ""}
            phrase = described(phrase, sorted(beside), rng)
        meant = target if unmistakable else np.logical_or.reduce([target, *likes])
        return phrase, meant, unmistakable and bool(rng.random() < settings.phrase_only_prob)

    def _phrase_supervision(
        self, shown: Sequence[Target], masks: Sequence[NDArray[np.bool_]], transform: Affine,
        meant: NDArray[np.bool_] | None,
    ) -> PhraseSupervision:  # fmt: skip
        if not self.recipe.phrases.phrase_prob:
            return PhraseSupervision((), None)
        flipped = np.linalg.det(transform[:, :2]) < 0
        named = [
            (mirrored(target.label) if flipped else target.label, downsample_by_8(mask))
            for target, mask in zip(shown, masks, strict=True)
            if target.label
        ]
        return PhraseSupervision(
            tuple((label, where) for label, where in named if where.any()),
            None if meant is None else downsample_by_8(meant),
        )


def downsample_by_8(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A square mask at an downsample_by_8 of its size: where most of a cell is inside."""
    side = mask.shape[0] // 8
    return np.asarray(cv2.resize(mask.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA) > 0.5)


def share_box(mask: NDArray[np.bool_]) -> tuple[float, float, float, float]:
    """The box of a mask as x, y, width, height in shares of its sides."""
    x, y, w, h = cv2.boundingRect(mask.astype(np.uint8))
    return x / mask.shape[1], y / mask.shape[0], w / mask.shape[1], h / mask.shape[0]
