"""Index masks: one map of object numbers for an image, whose objects cannot overlap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saywhere.data.formats.annotated_image import AnnotatedImage

IndexMap = NDArray[np.uint16]


def draw_index_map(image: AnnotatedImage, maximum: int, notes: list[str]) -> tuple[IndexMap, list[int]]:
    """Draw the objects of an image as numbers. Smaller objects lie above larger ones, as a wheel does on its car.

    Args:
        image: an annotated image.
        maximum: how many objects there is room for.
        notes: gets a line for each object that is left out or loses pixels.

    Returns:
        A ``(H, W)`` map of object numbers from 1, 0 off all objects; and for each number, in order, which object of the
        image has it.
    """
    indices = np.zeros(image.size, np.uint32)
    kept = [i for i, each in enumerate(image.objects) if each.region.area]
    what = f"photograph '{image.file_name}'"
    if len(kept) < len(image.objects):
        notes.append(f"{what}: {len(image.objects) - len(kept)} empty objects left out")
    if len(kept) > maximum:
        notes.append(f"{what}: {len(kept) - maximum} of {len(kept)} objects left out; there is room for {maximum}")
        kept = kept[:maximum]
    for i in sorted(kept, key=lambda i: -image.objects[i].region.area):
        indices[image.objects[i].mask] = i + 1
    visible = np.bincount(indices.ravel(), minlength=len(image.objects) + 1)
    for i in kept:
        area, seen = image.objects[i].region.area, int(visible[i + 1])
        if seen < area:
            lost = "all" if seen == 0 else f"{area - seen:,}"
            label = image.objects[i].class_name
            notes.append(f"{what}, object {label!r}: {lost} of its {area:,} pixels are under smaller objects; lost")
    kept = [i for i in kept if visible[i + 1]]
    renumbered = np.zeros(len(image.objects) + 1, np.uint16)
    renumbered[np.array(kept, np.intp) + 1] = np.arange(1, len(kept) + 1)
    return renumbered[indices], kept


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
