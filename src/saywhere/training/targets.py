"""The objects that can be drawn for training, and how often each is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from saywhere.core.rle import RunLengths
from saywhere.data.datasets import Sample, load_dataset
from saywhere.data.datasets.parts import lies_inside_another
from saywhere.text.words import label_words
from saywhere.training.recipe import Recipe, SamplingRecipe


@dataclass(frozen=True)
class Target:
    """An object to draw: its sample, run lengths, box and the other objects of its photograph.

    ``label`` is in words; ``data`` is its data set's place in the recipe, ``factor`` what that makes of its chance,
    ``share`` its part of the photograph.
    """

    sample: Sample
    region: RunLengths
    box: tuple[float, float, float, float]
    is_part: bool
    others: tuple[int, ...]
    label: str
    data: int
    factor: float
    share: float


def list_targets(recipe: Recipe) -> list[Target]:
    """Every object of the recipe's data that is not held out."""
    targets: list[Target] = []
    held_out = set(recipe.phrases.held_out)
    for number, data in enumerate(recipe.data):
        by_photo: dict[Path, list[Sample]] = defaultdict(list)
        for sample in load_dataset(data.path):
            if sample.label not in held_out:
                by_photo[sample.image_path].append(sample)
        for samples in by_photo.values():
            regions = [RunLengths.from_mask(sample.target()) for sample in samples]
            areas = np.array([region.area for region in regions], np.float64)
            parts = lies_inside_another(regions)
            present = [i for i in range(len(samples)) if areas[i] > 0]
            base = len(targets)
            for i in present:
                sample, region = samples[i], regions[i]
                x, y, w, h = map(float, region.box)
                targets.append(
                    Target(
                        sample, region, (x, y, w, h), bool(parts[i]),
                        others=tuple(base + k for k, j in enumerate(present) if j != i),
                        label=label_words(sample.label or ""),
                        factor=data.groups.get(sample.group, 1.0) * data.labels.get(sample.label or "", 1.0),
                        data=number,
                        share=float(areas[i]) / (region.height * region.width),
                    )
                )  # fmt: skip
    return targets


def sampling_weights(
    recipe: Recipe, targets: Sequence[Target], sampling: SamplingRecipe, rare: float = 0.0
) -> NDArray[np.float64]:
    """The probability with which each target is drawn; ``rare`` favours labels that few targets have.

    A data set's share of the draws is its weight, however many objects it has.
    """
    counts = Counter(target.label for target in targets)
    weights = np.array(
        [t.factor * _kind_weight(sampling, t.is_part, t.share) * counts[t.label] ** -rare for t in targets]
    )
    source = np.array([target.data for target in targets])
    for number, data in enumerate(recipe.data):
        weights[source == number] *= data.weight / weights[source == number].sum()
    return np.asarray(weights / weights.sum())


def _kind_weight(sampling: SamplingRecipe, is_part: bool, share: float) -> float:
    small = max(min(share / sampling.full_area, 1.0), sampling.small) if sampling.full_area else 1.0
    return (sampling.part if is_part else 1.0) * small
