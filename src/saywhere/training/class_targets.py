"""What a training sample teaches of the names and hypernyms of ImageNet's classes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from saywhere.core.geometry import ImageSize
from saywhere.models.targets import ClassTargets
from saywhere.text.class_names import ClassNames
from saywhere.training.augment import Affine
from saywhere.training.class_maps import ClassMap, TopClasses
from saywhere.training.crops import Crop, downsample_by_8

APPLIES = 0.5  # total probability of its classes from which a phrase applies to an object or a cell
ABSENT = 0.02  # the highest total probability, of any cell or object, below which a phrase applies to nothing
NOT_HERE = 0.05  # below which it does not apply to a cell or an object


class PhraseDrawer:
    """Draws names and hypernyms for a crop, and works out where they apply.

    Args:
        classes: the names and hypernyms.
        count: how many phrases each crop gets; half of them apply to nothing in it.
    """

    def __init__(self, classes: ClassNames, count: int) -> None:
        self.phrases = sorted(classes.members)
        self.count = count
        self.membership = np.zeros((1000, len(self.phrases)), np.float32)
        for column, phrase in enumerate(self.phrases):
            self.membership[list(classes.members[phrase]), column] = 1.0
        # Each class is one of many animals: without a weight nearly all phrases would be "animal" or "dog".
        self.weights = self.membership.sum(0) ** -0.5

    def totals(self, top: TopClasses) -> NDArray[np.float32]:
        """``(N, P)``: the total probability of each phrase's classes, for ``(N, K)`` classes."""
        rows = self.membership[top.indices.astype(np.int64)]
        return np.asarray(np.einsum("nk,nkp->np", top.probabilities.astype(np.float32), rows), np.float32)

    def targets(self, crop: Crop, image_size: ImageSize, classes: ClassMap, rng: np.random.Generator) -> ClassTargets:
        """The targets of a crop.

        Args:
            crop: the crop; it must be one image's, without copy-paste.
            image_size: the size of that image.
            classes: what the teacher sees in that image.
            rng: decides.
        """
        side = crop.target.shape[0] // 8
        cells = cells_of_crop(classes.cells, crop.transform, image_size, side)
        counted = ~downsample_by_8(crop.ignore)
        objects = [
            (downsample_by_8(mask), classes.objects[target.sample.name])
            for target, mask in zip([crop.chosen, *crop.neighbours], [crop.target, *crop.neighbour_masks], strict=True)
        ]
        # Larger objects first, so that a part has its own class and not that of the whole.
        objects = sorted(((mask, top) for mask, top in objects if mask.any()), key=lambda pair: -int(pair[0].sum()))
        flat = TopClasses(cells.indices.reshape(side * side, -1), cells.probabilities.reshape(side * side, -1))
        of_cells = self.totals(flat) * counted.reshape(-1, 1)
        of_objects = [self.totals(TopClasses(top.indices[None], top.probabilities[None]))[0] for _, top in objects]
        chosen = self._draw(of_cells, of_objects, rng)
        targets = np.stack(
            [
                self._target(of_cells[:, p].reshape(side, side), [o[p] for o in of_objects], [m for m, _ in objects])
                for p in chosen
            ]
        )
        targets[:, ~counted] = np.nan
        indices, probabilities = cells.indices.copy(), cells.probabilities.copy()
        for mask, top in objects:
            if top.probabilities.sum() >= APPLIES:
                indices[mask], probabilities[mask] = top.indices, top.probabilities
        probabilities[~counted] = 0.0
        phrases = tuple(self.phrases[p] for p in chosen)
        return ClassTargets(indices, probabilities, phrases, targets.astype(np.float16))

    def _draw(
        self, of_cells: NDArray[np.float32], of_objects: Sequence[NDArray[np.float32]], rng: np.random.Generator
    ) -> list[int]:
        """Indices of phrases: of something that the crop shows, and of nothing in it."""
        best = np.maximum.reduce([of_cells.max(0), *of_objects])
        chosen: list[int] = []
        for _ in range(self.count // 2):
            # Objects have crisp masks, cells have not.
            if of_objects and rng.random() < 0.8:
                totals = of_objects[int(rng.integers(len(of_objects)))]
            else:
                totals = of_cells[int(rng.integers(len(of_cells)))]
            weights = self.weights * (totals >= APPLIES)
            if weights.any():
                chosen.append(_choose(weights, rng))
        absent = self.weights * (best < ABSENT)
        # Half of the time frequent words are frequent among the absent ones, too.
        absent = absent if rng.random() < 0.5 else (best < ABSENT).astype(np.float32)
        while len(chosen) < self.count and absent.any():
            chosen.append(_choose(absent, rng))
        return chosen

    @staticmethod
    def _target(
        of_cells: NDArray[np.float32], of_objects: Sequence[np.float32], masks: Sequence[NDArray[np.bool_]]
    ) -> NDArray[np.float32]:
        """``(h, w)``: where a phrase applies (1), does not (0), or this is not known (NaN)."""
        target = np.full(of_cells.shape, np.nan, np.float32)
        target[of_cells < NOT_HERE] = 0.0
        target[of_cells >= APPLIES] = 1.0
        for total, mask in zip(of_objects, masks, strict=True):
            if total >= NOT_HERE:
                target[mask] = 1.0 if total >= APPLIES else np.nan
        return target


def cells_of_crop(cells: TopClasses, transform: Affine, image_size: ImageSize, side: int) -> TopClasses:
    """The classes ``(side, side, K)`` of a crop's cells of 8 x 8 pixels: those of the nearest cell of the image.

    Args:
        cells: of the image.
        transform: from pixels of the image to pixels of the crop.
        image_size: the size of the image.
        side: the crop's side in cells.
    """
    y, x = np.mgrid[:side, :side] * 8.0 + 3.5
    positions = (np.stack([x.ravel(), y.ravel()]) - transform[:, 2:]).T @ np.linalg.inv(transform[:, :2]).T
    rows, columns = cells.indices.shape[:2]
    column = np.clip(np.floor((positions[:, 0] + 0.5) * columns / image_size.width), 0, columns - 1).astype(int)
    row = np.clip(np.floor((positions[:, 1] + 0.5) * rows / image_size.height), 0, rows - 1).astype(int)
    shape = side, side, cells.indices.shape[-1]
    return TopClasses(cells.indices[row, column].reshape(shape), cells.probabilities[row, column].reshape(shape))


def _choose(weights: NDArray[np.float32], rng: np.random.Generator) -> int:
    return int(rng.choice(len(weights), p=weights.astype(np.float64) / weights.sum(dtype=np.float64)))
