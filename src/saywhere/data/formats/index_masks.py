"""Index masks: one map of object numbers for an image, whose objects cannot overlap."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.data.formats.annotated_image import AnnotatedImage, ObjectAnnotation

IndexMap = NDArray[np.uint16]
TILE = 512  # pixels, each side of what is counted at a time


def draw_index_map(image: AnnotatedImage, maximum: int, notes: list[str]) -> tuple[IndexMap, list[int]]:
    """Draw the objects of an image as numbers. Those of a higher ``z_order`` lie above; of the same, smaller ones lie
    above larger ones, as a wheel does on its car.

    Args:
        image: an annotated image.
        maximum: how many objects there is room for.
        notes: gets a line for each object that is left out or loses pixels.

    Returns:
        A ``(H, W)`` map of object numbers from 1, 0 off all objects; and for each number, in order, which object of the
        image has it.
    """
    kept = [i for i, each in enumerate(image.objects) if each.region.area]
    what = f"photograph '{image.file_name}'"
    if len(kept) < len(image.objects):
        notes.append(f"{what}: {len(image.objects) - len(kept)} empty objects left out")
    if len(kept) > maximum:
        notes.append(f"{what}: {len(kept) - maximum} of {len(kept)} objects left out; there is room for {maximum}")
        kept = kept[:maximum]
    indices = np.zeros(image.size, np.uint16)
    for number, i in sorted(enumerate(kept, 1), key=lambda pair: _depth(image.objects[pair[1]])):
        x, y, mask = image.objects[i].region.cropped()
        indices[y : y + mask.shape[0], x : x + mask.shape[1]][mask] = number
    visible = _count_pixels(indices, len(kept) + 1)
    for number, i in enumerate(kept, 1):
        area, seen = image.objects[i].region.area, int(visible[number])
        if seen < area:
            lost = "all" if seen == 0 else f"{area - seen:,}"
            label = image.objects[i].class_name
            notes.append(f"{what}, object {label!r}: {lost} of its {area:,} pixels are under other objects; lost")
    still = visible[1:] > 0
    renumbered = np.append(0, np.cumsum(still) * still).astype(np.uint16)
    for rows in _row_chunks(indices):
        rows[:] = renumbered[rows]
    return indices, [i for i, seen in zip(kept, still.tolist(), strict=True) if seen]


def _depth(each: ObjectAnnotation) -> tuple[int, int]:
    """What objects are sorted by, from back to front."""
    return each.z_order, -each.region.area


def split_index_map(indices: NDArray[np.uint8] | IndexMap, ignored: Collection[int] = (0,)) -> dict[int, RunLengths]:
    """The regions of a ``(H, W)`` map of numbers, by number in order. Memory is that of one region's box at a time."""
    boxes: dict[int, tuple[int, int, int, int]] = {}
    height, width = indices.shape
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            tile = indices[top : top + TILE, left : left + TILE]
            bottom, right = top + tile.shape[0], left + tile.shape[1]
            for number in np.flatnonzero(np.bincount(tile.ravel())).tolist():
                x0, y0, x1, y1 = boxes.get(number, (left, top, right, bottom))
                boxes[number] = min(x0, left), min(y0, top), max(x1, right), max(y1, bottom)
    size = ImageSize(height, width)
    return {
        number: RunLengths.from_part(indices[y0:y1, x0:x1] == number, x0, y0, size)
        for number, (x0, y0, x1, y1) in sorted(boxes.items())
        if number not in ignored
    }


def _row_chunks(indices: IndexMap) -> Iterator[IndexMap]:
    """The rows of a map, some at a time: each step over all of it would take several times its memory."""
    step = max(1, TILE * TILE // max(1, indices.shape[1]))
    for first in range(0, len(indices), step):
        yield indices[first : first + step]


def _count_pixels(indices: IndexMap, count: int) -> NDArray[np.int64]:
    """How often each number below ``count`` is in a map."""
    total = np.zeros(count, np.int64)
    for rows in _row_chunks(indices):
        total += np.bincount(rows.ravel(), minlength=count)
    return total


def write_index_map(path: Path, numbers: IndexMap) -> None:
    """Write a map as a PNG with VOC's palette, or in 16-bit grey when a number is above 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if numbers.max() > 255:
        Image.fromarray(numbers).save(path)
        return
    image = Image.fromarray(numbers.astype(np.uint8), "L")
    image.putpalette(voc_palette().ravel().tolist())
    image.save(path)


def voc_palette() -> NDArray[np.uint8]:
    """``(256, 3)`` colours as PASCAL VOC numbers them (VOClabelcolormap in its development kit)."""
    number = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((number >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours
