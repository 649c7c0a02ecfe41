"""The objects that can be drawn for training, and how often each is."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saywhere.data.datasets import Sample, check_images, image_names, load_dataset
from saywhere.data.datasets.sample import SampleTable, numbered
from saywhere.errors import SaywhereError
from saywhere.storage.arrays import KeptArrays, keep_arrays
from saywhere.storage.cache import cache_folder
from saywhere.text.words import label_words
from saywhere.training.recipe import Recipe
from saywhere.training.recipe_parts import DataRecipe, SamplingRecipe
from saywhere.training.target_table import Target as Target
from saywhere.training.target_table import Targets, TargetSet, masks_as_arrays

VERSION = 1  # of kept masks


def list_targets(recipe: Recipe) -> Targets:
    """Every object of the recipe's data that is not held out.

    Masks of a large data set (:class:`saywhere.data.datasets.sample.SampleTable`) are kept in the user's cache folder.

    Raises:
        SaywhereError: a data set is not there, not in its layout, or lacks images.
    """
    return Targets([_list_set(recipe, data) for data in recipe.data])


def _list_set(recipe: Recipe, data: DataRecipe) -> TargetSet:
    samples = load_dataset(data.path)
    labels, names = _labels(samples)
    unseen, seen = {*recipe.phrases.held_out, *data.excluded_labels}, set(recipe.phrases.seen)
    is_drawn = np.array([name not in unseen and (not seen or name in seen) for name in names], np.bool_)
    rows = np.flatnonzero(is_drawn[labels]) if len(names) else np.zeros(0, np.int64)
    numbers, paths = _images(samples, rows)
    excluded = {name for other in data.excluded_images for name in image_names(other)}
    if excluded:
        is_kept = np.array([path.stem not in excluded for path in paths], np.bool_)
        rows = rows[is_kept[numbers]] if len(paths) else rows
        numbers, paths = _images(samples, rows)
    if len(rows) and samples[int(rows[0])].member is None:
        check_images(data.path, paths)
    order = np.argsort(numbers, kind="stable")
    bounds = np.searchsorted(numbers[order], np.arange(len(paths) + 1))
    of_images = [rows[order[a:b]].tolist() for a, b in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)]
    masks = _masks(samples, of_images, rows)
    drawn = labels[masks["rows"]] if len(masks["rows"]) else np.zeros(0, np.int32)
    words = [label_words(name or "") if data.labels_are_names else "" for name in names]
    by_label = np.array([data.label_weights.get(name or "", 1.0) for name in names])
    by_folder = np.array([data.folder_weights.get(group, 1.0) for group in _groups(samples, masks["rows"])])
    weights = by_folder * by_label[drawn] if len(drawn) else np.zeros(0)
    return TargetSet(samples, masks, paths, drawn, names, words, weights)


def _labels(samples: Sequence[Sample]) -> tuple[NDArray[np.int32], Sequence[str | None]]:
    """The number of each object's label, and the labels."""
    if isinstance(samples, SampleTable):
        return samples.labels, samples.names
    return numbered(sample.label for sample in samples)


def _images(samples: Sequence[Sample], rows: NDArray[np.int64]) -> tuple[NDArray[np.int32], list[Any]]:
    """The number of the image of each row, in the order in which they first come, and the files."""
    if isinstance(samples, SampleTable):
        images = samples.images[rows].tolist()
        path_of = {image: samples.image_path(image) for image in dict.fromkeys(images)}
        return numbered(path_of[image] for image in images)
    return numbered(samples[row].image_path for row in rows.tolist())


def _groups(samples: Sequence[Sample], rows: NDArray[Any]) -> list[str]:
    """The folder that each row's image came from."""
    if isinstance(samples, SampleTable):
        images = samples.images[rows].tolist()
        group_of = {image: samples.group(image) for image in dict.fromkeys(images)}
        return [group_of[image] for image in images]
    return [samples[row].group for row in rows.tolist()]


def _masks(
    samples: Sequence[Sample], images: Sequence[Sequence[int]], rows: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """See :func:`masks_as_arrays`; those of a large data set are kept."""
    if not isinstance(samples, SampleTable):
        return masks_as_arrays(images, samples)
    which = hashlib.sha256(rows.tobytes()).hexdigest()
    name = hashlib.sha256(json.dumps([samples.place, which]).encode()).hexdigest()[:24]
    key = {"version": VERSION, "samples": samples.key, "rows": which}
    file = cache_folder(None, "masks") / f"{name}.masks"
    return dict(keep_arrays(file, key, lambda: KeptArrays(masks_as_arrays(images, samples), {})).arrays)


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
    table = targets if isinstance(targets, Targets) else _Columns(targets)
    counts = Counter(table.words)
    rarity = {word: count**-rare_label_power for word, count in counts.items()}
    weights = table.weights * _kind_weights(sampling, table) * np.array([rarity[word] for word in table.words])
    if sampling.unit == "image":
        weights = _same_for_images(weights, table.images)
    source = table.data
    for number, data in enumerate(recipe.data):
        share = weights[source == number].sum()
        if not share and (source == number).any():
            raise SaywhereError(f"recipe: data.{number} ('{data.path}'): all of its objects have a weight of 0")
        weights[source == number] *= data.weight / (share if sampling.balance_sets else 1.0)
    return np.asarray(weights / weights.sum())


class _Columns:
    """Some targets as columns, with the names of those of :class:`Targets`."""

    def __init__(self, targets: Sequence[Target]) -> None:
        self.words = [target.label for target in targets]
        self.weights = np.array([target.weight for target in targets])
        self.parts = np.array([target.is_part for target in targets])
        self.shares = np.array([target.share for target in targets])
        self.data = np.array([target.data for target in targets])
        self.images = numbered((target.data, target.sample.image_path) for target in targets)[0]


def _same_for_images(weights: NDArray[np.float64], images: NDArray[Any]) -> NDArray[np.float64]:
    """The objects' weights divided by the sum of those of their image; where that is 0 they stay 0."""
    sums = np.bincount(images, weights)[images]
    return np.divide(weights, sums, out=np.zeros_like(weights), where=sums > 0)


def _kind_weights(sampling: SamplingRecipe, targets: Targets | _Columns) -> NDArray[np.float64]:
    """What being a part and being small make of the targets' weights."""
    weights = np.where(targets.parts, sampling.part_weight, 1.0)
    if sampling.small_area:
        weights = weights * np.maximum(np.minimum(targets.shares / sampling.small_area, 1.0), sampling.min_small_weight)
    return weights
