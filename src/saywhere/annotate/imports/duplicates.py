"""Which objects of a file are in the project already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from saywhere.core.geometry import Box
from saywhere.core.rle import RunLengths, containment

SAME_IOU = 0.9  # from which on two objects of one label are the same


@dataclass(frozen=True)
class KnownObject:
    """An object that is in the project.

    Attributes:
        label: its label's name.
        region: its pixels.
        imported: its pixels as they were imported, where it was.
    """

    label: str | None
    region: RunLengths
    imported: RunLengths | None = None


def find_duplicates(
    objects: Sequence[tuple[str | None, RunLengths]], known: Sequence[KnownObject]
) -> list[bool]:  # fmt: skip
    """Whether each object is known, or comes before in the same file.

    An object is that one of the project of which it was imported before, whatever became of it, or of which it has the
    label and nearly the pixels. One of the project is that of one object of the file only.

    Args:
        objects: labels and pixels of the objects of one image.
        known: those that the project has of it.

    Returns:
        For each object whether it must not be added.
    """
    is_known = [False] * len(objects)
    seen: set[tuple[str | None, bytes]] = set()
    for i, (label, region) in enumerate(objects):
        is_known[i] = (label, region.counts) in seen
        seen.add((label, region.counts))
    free = list(range(len(known)))

    def take(i: int, j: int) -> None:
        is_known[i] = True
        free.remove(j)

    # Of objects with one mask and several labels, each is found by its own label first.
    for needs_label in (True, False):
        for i, (label, region) in enumerate(objects):
            if is_known[i]:
                continue
            for j in free:
                was = known[j].imported
                same = was is not None and was.counts == region.counts
                if same and (known[j].label == label or not needs_label):
                    take(i, j)
                    break
    left = [i for i in range(len(objects)) if not is_known[i]]
    if left and free:
        ious = iou_matrix([objects[i][1] for i in left], [known[j].region for j in free])
        labels_differ = np.array([[objects[i][0] != known[j].label for j in free] for i in left])
        ious[labels_differ] = 0.0
        columns = list(free)
        for flat in np.argsort(-ious, axis=None, kind="stable"):
            row, column = divmod(int(flat), len(columns))
            if ious[row, column] < SAME_IOU:
                break
            if not is_known[left[row]] and columns[column] in free:
                take(left[row], columns[column])
    return is_known


LabelledBox = tuple[str | None, Box]
"""A label and the edges x0, y0, x1, y1 of a box."""


def find_duplicate_boxes(boxes: Sequence[LabelledBox], known: Sequence[LabelledBox]) -> list[bool]:
    """Whether each box is known, or comes before in the same file.

    Args:
        boxes: those of one image in the file.
        known: the boxes of the objects that the project has of it, and of those with a mask the boxes around these.

    Returns:
        For each box whether it must not be added.

    Example:
        >>> find_duplicate_boxes([("a", (0, 0, 9, 9)), ("b", (0, 0, 9, 9))], [("a", (0, 0, 9, 8.8))])
        [True, False]
    """
    free, seen, is_known = list(known), set[LabelledBox](), []
    for label, box in boxes:
        alike = [(box_iou(box, other), i) for i, (name, other) in enumerate(free) if name == label]
        iou, best = max(alike, default=(0.0, 0))
        if (label, box) in seen:
            is_known.append(True)
        elif iou >= SAME_IOU:
            is_known.append(True)
            del free[best]
        else:
            is_known.append(False)
        seen.add((label, box))
    return is_known


def box_iou(one: Box, other: Box) -> float:
    """The IoU of two boxes, given by their edges x0, y0, x1, y1."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0.0) * max(height, 0.0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / max(sum(areas) - shared, 1e-9)


def iou_matrix(first: Sequence[RunLengths], second: Sequence[RunLengths]) -> NDArray[np.float64]:
    """``(N, M)`` IoU of objects of one image.

    Example:
        >>> mask = np.zeros((4, 4), bool)
        >>> mask[:2] = True
        >>> one, all = RunLengths.from_mask(mask), RunLengths.from_mask(mask | True)
        >>> iou_matrix([one], [one, all]).tolist()
        [[1.0, 0.5]]
    """
    areas = np.array([[each.area for each in first]], np.float64).T
    others = np.array([[each.area for each in second]], np.float64)
    inside = containment([*first, *second])[: len(first), len(first) :]
    shared = np.nan_to_num(inside) * areas
    return np.asarray(shared / np.maximum(areas + others - shared, 1.0), np.float64)
