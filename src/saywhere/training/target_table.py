"""The objects that can be drawn for training, as columns: a list of a million Python objects takes gigabytes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saywhere.core.rle import RunLengths
from saywhere.core.rows import RowSequence
from saywhere.data.datasets import Sample
from saywhere.data.datasets.parts import lies_inside_another
from saywhere.storage.arrays import Arrays

MADE = 4096  # targets that are kept once they were asked for


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


def masks_as_arrays(images: Iterable[Sequence[int]], samples: Sequence[Sample]) -> dict[str, NDArray[Any]]:
    """The masks of objects and what follows from them, as arrays that can be kept in a file.

    Args:
        images: for each image, the rows of its objects in ``samples``.
        samples: the objects of a data set.

    Returns:
        Of the N objects that are not empty, image after image: ``rows`` in ``samples``, the number of the ``images``,
        ``boxes`` ``(N, 4)``, ``sizes`` ``(N, 2)`` of their images, ``areas``, ``parts`` (whether each lies inside
        another one); and ``counts``, all run lengths one after another, of which an object's end at ``ends``.
    """
    rows: list[int] = []
    numbers: list[int] = []
    geometry: list[NDArray[np.int64]] = []
    parts: list[NDArray[np.bool_]] = []
    counts = bytearray()
    ends: list[int] = []
    for number, of_image in enumerate(images):
        regions = [samples[row].region() for row in of_image]
        areas = np.array([region.area for region in regions], np.float64)
        inside = lies_inside_another(regions)
        present = np.flatnonzero(areas > 0)
        parts.append(inside[present])
        for i in present.tolist():
            rows.append(of_image[i])
            numbers.append(number)
            geometry.append(np.array([*regions[i].box, *regions[i].size, int(areas[i])], np.int64))
            counts += regions[i].counts
            ends.append(len(counts))
    columns = np.stack(geometry) if geometry else np.zeros((0, 7), np.int64)
    return {
        "rows": np.array(rows, np.int32),
        "images": np.array(numbers, np.int32),
        "boxes": columns[:, :4].astype(np.int32),
        "sizes": columns[:, 4:6].astype(np.int32),
        "areas": columns[:, 6].copy(),
        "parts": np.concatenate([np.zeros(0, np.bool_), *parts]).astype(np.uint8),
        "counts": np.frombuffer(bytes(counts), np.uint8),
        "ends": np.array(ends, np.int64),
    }


@dataclass(frozen=True)
class TargetSet:
    """The objects of one data set of a recipe.

    Attributes:
        samples: all objects of the data set.
        masks: what :func:`masks_as_arrays` gives, of those that are drawn.
        paths: of the images.
        labels: ``(N,)``, the number of each object's class name.
        names: class names as the data set has them; None for objects without one.
        words: class names in words; "" for none.
        weights: ``(N,)``, by folder and label.
    """

    samples: Sequence[Sample]
    masks: Arrays
    paths: Sequence[Path]
    labels: NDArray[np.int32]
    names: Sequence[str | None]
    words: Sequence[str]
    weights: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)


class Targets(RowSequence[Target]):
    """The objects of a recipe's data sets, one set after another; a target is made when it is asked for.

    Args:
        sets: in the order of the recipe.

    Attributes:
        data: ``(N,)``, the number of each object's data set.
        images: ``(N,)``, the number of its image, over all data sets.
        weights, parts, shares: ``(N,)``, the attributes of :class:`Target`.
    """

    def __init__(self, sets: Sequence[TargetSet]) -> None:
        self.sets = sets
        sizes = [len(each) for each in sets]
        self._first = np.cumsum([0, *sizes])
        self.data = np.repeat(np.arange(len(sets)), sizes)
        self.weights = _joined([each.weights for each in sets], np.float64)
        self.parts = _joined([each.masks["parts"] for each in sets], np.bool_)
        self.shares = _joined([each.masks["areas"] / _pixels(each.masks["sizes"]) for each in sets], np.float64)
        first_image = np.cumsum([0, *(len(each.paths) for each in sets)])
        numbers = zip(sets, first_image.tolist(), strict=False)
        self.images = _joined([each.masks["images"] + first for each, first in numbers], np.int64)
        self._made = lru_cache(MADE)(self._make)

    @property
    def words(self) -> list[str]:
        """Each object's class name in words."""
        return [each.words[label] for each in self.sets for label in each.labels.tolist()]

    def names(self, number: int) -> set[str | None]:
        """The class names in a data set, as it has them."""
        each = self.sets[number]
        return {each.names[label] for label in np.unique(each.labels).tolist()}

    def image_paths(self) -> list[Path]:
        """The images that have an object, each once for each data set."""
        paths = [path for each in self.sets for path in each.paths]
        return [paths[number] for number in dict.fromkeys(self.images.tolist())]

    def __len__(self) -> int:
        return len(self.data)

    def row(self, row: int) -> Target:
        return self._made(row)

    def _make(self, index: int) -> Target:
        number = int(self.data[index])
        of_set, row = self.sets[number], index - int(self._first[number])
        masks = of_set.masks
        height, width = masks["sizes"][row].tolist()
        start = int(masks["ends"][row - 1]) if row else 0
        x, y, w, h = masks["boxes"][row].tolist()
        image = masks["images"][row]
        a, b = (int(np.searchsorted(masks["images"], image, side)) for side in ("left", "right"))
        return Target(
            sample=of_set.samples[int(masks["rows"][row])],
            region=RunLengths(height, width, masks["counts"][start : int(masks["ends"][row])].tobytes()),
            box=(float(x), float(y), float(w), float(h)),
            is_part=bool(masks["parts"][row]),
            others=tuple(i + index - row for i in range(a, b) if i != row),
            label=of_set.words[int(of_set.labels[row])],
            data=number,
            weight=float(of_set.weights[row]),
            share=float(self.shares[index]),
        )


def _joined(parts: Sequence[NDArray[Any]], kind: Any) -> NDArray[Any]:
    return np.concatenate([np.zeros(0, kind), *parts]).astype(kind)


def _pixels(sizes: NDArray[Any]) -> NDArray[np.float64]:
    return sizes[:, 0].astype(np.float64) * sizes[:, 1]
