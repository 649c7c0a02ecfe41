"""Training crops: which object is drawn, how it is shown and what is clicked first.

Crop number n of a run depends only on the recipe's seed and on n, so a run that was killed goes on with
the crops it would have seen.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as coco_mask
from torch import Tensor
from torch.utils.data import Dataset

from saywhere import robot
from saywhere.datasets import Sample, load_dataset
from saywhere.images import read_image
from saywhere.prompt import Click, Prompt
from saywhere.training.augment import crop_transform, recolour, warp
from saywhere.training.recipe import Clicks, Recipe, Sampling

SMALLEST = 60  # pixels of an object in its crop; fewer teach nothing
INSIDE = 0.8  # share of an object in another one that makes it a part


@dataclass(frozen=True)
class Target:
    """An object to draw: its sample, packed mask, box and the other objects of its photograph."""

    sample: Sample
    rle: dict[str, object]
    box: tuple[float, float, float, float]
    is_part: bool
    others: tuple[int, ...]


@dataclass(frozen=True)
class Crop:
    """One crop as tensors ``(3|1, S, S)`` uint8, and the prompt of its first round."""

    image: Tensor
    target: Tensor
    ignore: Tensor
    prompt: Prompt
    drags: bool
    number: int


@dataclass(frozen=True)
class Batch:
    image: Tensor
    target: Tensor
    ignore: Tensor
    prompts: list[Prompt]
    drags: list[bool]
    numbers: list[int]


def collate(crops: Sequence[Crop]) -> Batch:
    return Batch(
        torch.stack([c.image for c in crops]),
        torch.stack([c.target for c in crops]),
        torch.stack([c.ignore for c in crops]),
        [c.prompt for c in crops],
        [c.drags for c in crops],
        [c.number for c in crops],
    )


def list_targets(recipe: Recipe) -> tuple[list[Target], NDArray[np.float64]]:
    """Every object of the recipe's data and the probability with which it is drawn."""
    targets: list[Target] = []
    weights: list[float] = []
    for data in recipe.data:
        by_photo: dict[Path, list[Sample]] = defaultdict(list)
        for sample in load_dataset(data.path):
            by_photo[sample.photo].append(sample)
        drawn: list[float] = []
        for samples in by_photo.values():
            packed = [coco_mask.encode(np.asfortranarray(s.target(), dtype=np.uint8)) for s in samples]
            areas = coco_mask.area(packed).astype(np.float64)
            parts = parts_of(packed, areas)
            base = len(targets)
            for i, (sample, rle) in enumerate(zip(samples, packed, strict=True)):
                if areas[i] == 0:
                    continue
                x, y, w, h = (float(v) for v in coco_mask.toBbox(rle))
                others = tuple(base + j for j in range(len(samples)) if j != i and areas[j] > 0)
                targets.append(Target(sample, rle, (x, y, w, h), bool(parts[i]), others))
                share = areas[i] / (rle["size"][0] * rle["size"][1])
                factor = data.groups.get(sample.group, 1.0) * data.labels.get(sample.label or "", 1.0)
                drawn.append(factor * _kind_weight(recipe.sampling, bool(parts[i]), share))
        total = sum(drawn)
        weights += [data.weight * w / total for w in drawn]
    probabilities = np.array(weights)
    return targets, probabilities / probabilities.sum()


def parts_of(packed: list[dict[str, object]], areas: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which objects of one photograph lie inside a clearly larger labelled one."""
    if len(packed) < 2:
        return np.zeros(len(packed), np.bool_)
    # With crowd=1 pycocotools divides by the first's area: the share of i that lies in j.
    share = np.asarray(coco_mask.iou(packed, packed, [1] * len(packed)))
    larger = areas[None, :] >= 1.5 * areas[:, None]
    return np.asarray(((share >= INSIDE) & larger).any(axis=1), np.bool_)


def _kind_weight(sampling: Sampling, is_part: bool, share: float) -> float:
    small = max(min(share / sampling.full_area, 1.0), sampling.small) if sampling.full_area else 1.0
    return (sampling.part if is_part else 1.0) * small


class Crops(Dataset[Crop]):
    """Crop number n of a run, for every n."""

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.targets, probabilities = list_targets(recipe)
        self.cumulative = np.cumsum(probabilities)
        self.read = lru_cache(maxsize=recipe.crop.cache)(read_image)

    def __getitem__(self, number: int) -> Crop:
        # One thread: a loader that competes with the training threads slows both.
        cv2.setNumThreads(0)
        for attempt in range(100):
            rng = np.random.default_rng((self.recipe.seed, number, attempt))
            crop = self._cut(number, rng)
            if crop is not None:
                return crop
        raise RuntimeError(f"crop {number} of seed {self.recipe.seed}: no object shows {SMALLEST} pixels")

    def _cut(self, number: int, rng: np.random.Generator) -> Crop | None:
        settings = self.recipe.crop
        size = settings.size
        index = min(int(np.searchsorted(self.cumulative, rng.random(), side="right")), len(self.targets) - 1)
        chosen = self.targets[index]
        photo = self.read(chosen.sample.photo)
        whole = rng.random() < settings.whole_photo
        transform = crop_transform(chosen.box, (photo.shape[0], photo.shape[1]), size, whole, settings.zoom, rng)

        def cut(mask: NDArray[np.bool_] | NDArray[np.uint8], border: int = cv2.BORDER_REFLECT_101) -> NDArray[np.bool_]:
            return warp(np.asarray(mask, np.uint8), transform, size, nearest=True, border=border) > 0

        target = cut(coco_mask.decode(chosen.rle), cv2.BORDER_CONSTANT)
        ignore = ~cut(np.ones(photo.shape[:2], np.uint8), cv2.BORDER_CONSTANT)
        not_counted = chosen.sample.ignore()
        if not_counted is not None:
            ignore |= cut(not_counted)
        target &= ~ignore
        if np.count_nonzero(target) < SMALLEST:
            return None
        image = recolour(warp(photo, transform, size), rng)
        others = np.zeros_like(target)
        if chosen.others:
            union = coco_mask.merge([self.targets[i].rle for i in chosen.others])
            others = cut(coco_mask.decode(union), cv2.BORDER_CONSTANT) & ~ignore
        drags = bool(rng.random() < self.recipe.clicks.drag)
        several = chosen.is_part or bool(rng.random() < self.recipe.clicks.several_first)
        clicks = opening(target, ignore, others, several, chosen.is_part, drags, rng)
        return Crop(
            torch.from_numpy(image.transpose(2, 0, 1).copy()),
            torch.from_numpy(target[None].astype(np.uint8)),
            torch.from_numpy(ignore[None].astype(np.uint8)),
            Prompt(tuple(clicks)),
            drags,
            number,
        )


def opening(
    target: NDArray[np.bool_],
    ignore: NDArray[np.bool_],
    others: NDArray[np.bool_],
    several: bool,
    is_part: bool,
    drags: bool,
    rng: np.random.Generator,
) -> list[Click]:
    """The clicks of the first round: one on the object, or several by the strategies of Xu et al. (2016).

    A part always gets a negative click on what surrounds it: a single click on it means the whole.
    """
    if not several:
        if rng.random() < 0.6:
            clicks = [robot.first_click(target)]
        else:
            clicks = robot.positive_clicks(target, 1, rng, margin=5.0)
    else:
        clicks = robot.positive_clicks(target, int(rng.integers(1, 5)), rng)
        negatives = int(rng.integers(1 if is_part else 0, 4))
        strategies = ["objects", "rim"] if is_part and others.any() else list(robot.NEGATIVE_STRATEGIES)
        strategy = strategies[int(rng.integers(len(strategies)))]
        clicks += [
            c for c in robot.negative_clicks(target, negatives, rng, strategy, others) if not ignore[int(c.y), int(c.x)]
        ]
        if len(clicks) > 1:
            first, rest = clicks[0], clicks[1:]
            clicks = [first, *(rest[i] for i in rng.permutation(len(rest)))]
    return [dragged(c, target, rng) for c in clicks] if drags else clicks


def dragged(click: Click, target: NDArray[np.bool_], rng: np.random.Generator) -> Click:
    """The click with the radius that a person would drag, a little off as hands are."""
    region = target if click.positive else ~target
    distance = float(robot.boundary_distance(region)[int(click.y), int(click.x)])
    return Click(click.x, click.y, click.positive, max(distance * float(np.exp(rng.normal(0.0, 0.1))), 1.0))


def correct(
    prompt: Prompt,
    target: NDArray[np.bool_],
    predicted: NDArray[np.bool_],
    ignore: NDArray[np.bool_],
    drags: bool,
    settings: Clicks,
    rng: np.random.Generator,
) -> Prompt:
    """The prompt of the next round: a correction added, or none when only the mask is to be refined."""
    if rng.random() < settings.no_new_click:
        return prompt
    if rng.random() < 0.5:
        click = robot.next_click(target, predicted, ignore, drags)
    else:
        click = robot.training_correction(target, predicted, rng, ignore, drags)
    return prompt if click is None else prompt.with_click(click)
