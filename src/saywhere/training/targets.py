"""The objects that can be drawn for training, and how often each is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saywhere.core.rle import RunLengths
from saywhere.data.datasets import Sample, check_images, image_names, load_dataset
from saywhere.data.datasets.parts import lies_inside_another
from saywhere.errors import SaywhereError
from saywhere.text.words import label_words
from saywhere.training.recipe import DataRecipe, Recipe, SamplingRecipe


@dataclass(frozen=True)
class Target:
    """An object to draw.

    Attributes:
        sample: the object in its data set.
        region: its mask.
        box: x, y, width, height in pixels.
        is_part: whether it lies inside another object.
        others: the indices of the other objects of its image.
        label: its class name in words; "" without one.
        data: the index of its data set in the recipe.
        weight: its weight by folder and label.
        share: its share of the image's area.
    """

    sample: Sample
    region: RunLengths
    box: tuple[float, float, float, float]
    is_part: bool
    others: tuple[int, ...]
    label: str
    data: int
    weight: float
    share: float


def list_targets(recipe: Recipe) -> list[Target]:
    """Every object of the recipe's data that is not held out.

    Raises:
        SaywhereError: a data set is not there, not in its layout, or lacks images.
    """
    targets: list[Target] = []
    seen, held_out = set(recipe.phrases.seen), set(recipe.phrases.held_out)
    for number, data in enumerate(recipe.data):
        unseen = held_out | set(data.excluded_labels)
        excluded = {name for other in data.excluded_images for name in image_names(other)}
        by_image: dict[Path, list[Sample]] = defaultdict(list)
        for sample in load_dataset(data.path):
            is_named = sample.label not in unseen and (not seen or sample.label in seen)
            if is_named and sample.image_path.stem not in excluded:
                by_image[sample.image_path].append(sample)
        check_images(data.path, by_image)
        for samples in by_image.values():
            targets += _targets_of_image(samples, len(targets), number, data)
    return targets


def _targets_of_image(samples: Sequence[Sample], first: int, number: int, data: DataRecipe) -> list[Target]:
    """The objects of one image that are not empty; ``first`` is the index of the first of them."""
    regions = [sample.region() for sample in samples]
    areas = np.array([region.area for region in regions], np.float64)
    parts = lies_inside_another(regions)
    present = np.flatnonzero(areas > 0).tolist()
    targets = []
    for i in present:
        sample, region = samples[i], regions[i]
        x, y, w, h = region.box
        targets.append(
            Target(
                sample=sample,
                region=region,
                box=(float(x), float(y), float(w), float(h)),
                is_part=bool(parts[i]),
                others=tuple(first + k for k, j in enumerate(present) if j != i),
                label=label_words(sample.label or "") if data.labels_are_names else "",
                data=number,
                weight=data.folder_weights.get(sample.group, 1.0) * data.label_weights.get(sample.label or "", 1.0),
                share=float(areas[i]) / (region.height * region.width),
            )
        )
    return targets


def sampling_probabilities(
    recipe: Recipe, targets: Sequence[Target], sampling: SamplingRecipe, rare_label_power: float = 0.0
) -> NDArray[np.float64]:
    """The probability with which each target is drawn: ``(N,)``, of sum 1.

    Args:
        recipe: its data sets.
        targets: the N objects.
        sampling: whether objects or images are drawn alike, whether a data set's share depends on its size, and what
            parts and small objects weigh.
        rare_label_power: see the recipe's ``phrases.rare_label_power``.

    Raises:
        SaywhereError: no object of a data set has a weight.
    """
    counts = Counter(target.label for target in targets)
    weights = np.array([t.weight * _kind_weight(sampling, t) * counts[t.label] ** -rare_label_power for t in targets])
    if sampling.unit == "image":
        weights = _same_for_images(weights, targets)
    source = np.array([target.data for target in targets])
    for number, data in enumerate(recipe.data):
        share = weights[source == number].sum()
        if not share and (source == number).any():
            raise SaywhereError(f"recipe: data.{number} ('{data.path}'): all of its objects have a weight of 0")
        weights[source == number] *= data.weight / (share if sampling.balance_sets else 1.0)
    return np.asarray(weights / weights.sum())


def _same_for_images(weights: NDArray[np.float64], targets: Sequence[Target]) -> NDArray[np.float64]:
    """The objects' weights divided by the sum of those of their image; where that is 0 they stay 0."""
    numbers: dict[tuple[int, Path], int] = {}
    image = np.array([numbers.setdefault((t.data, t.sample.image_path), len(numbers)) for t in targets])
    sums = np.bincount(image, weights)[image]
    return np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)


def _kind_weight(sampling: SamplingRecipe, target: Target) -> float:
    """What being a part and being small make of a target's weight."""
    size = 1.0
    if sampling.small_area:
        size = max(min(target.share / sampling.small_area, 1.0), sampling.min_small_weight)
    return (sampling.part_weight if target.is_part else 1.0) * size
