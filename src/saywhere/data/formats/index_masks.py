"""One map of object numbers for a photograph: what objects look like that cannot overlap."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saywhere.data.formats.annotated_image import AnnotatedImage

Map = NDArray[np.uint16]


def paint(photo: AnnotatedImage, most: int, notes: list[str]) -> tuple[Map, list[int]]:
    """A ``(H, W)`` map of object numbers from 1, 0 elsewhere, and which object of the photograph has which number.

    Small objects lie over large ones, as a wheel does over its car. Notes say which have no pixel left, which lose
    some, and how many there was no room for.
    """
    painted = np.zeros((photo.height, photo.width), np.uint32)
    kept = [i for i, one in enumerate(photo.objects) if one.region.area]
    what = f"photograph '{photo.file}'"
    if len(kept) < len(photo.objects):
        notes.append(f"{what}: {len(photo.objects) - len(kept)} empty objects left out")
    if len(kept) > most:
        notes.append(f"{what}: {len(kept) - most} of {len(kept)} objects left out; there is room for {most}")
        kept = kept[:most]
    for i in sorted(kept, key=lambda i: -photo.objects[i].region.area):
        painted[photo.objects[i].mask] = i + 1
    left = np.bincount(painted.ravel(), minlength=len(photo.objects) + 1)
    for i in kept:
        area, seen = photo.objects[i].region.area, int(left[i + 1])
        if seen < area:
            gone = "all" if seen == 0 else f"{area - seen:,}"
            label = photo.objects[i].named
            notes.append(f"{what}, object {label!r}: {gone} of its {area:,} pixels are under smaller objects; lost")
    kept = [i for i in kept if left[i + 1]]
    renumbered = np.zeros(len(photo.objects) + 1, np.uint16)
    renumbered[np.array(kept, np.intp) + 1] = np.arange(1, len(kept) + 1)
    return renumbered[painted], kept


def write_map(path: Path, numbers: Map) -> None:
    """Write a map as a PNG with VOC's palette, or in 16-bit grey when a number is above 255."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if numbers.max() > 255:
        Image.fromarray(numbers).save(path)
        return
    image = Image.fromarray(numbers.astype(np.uint8), "L")
    image.putpalette(palette().ravel().tolist())
    image.save(path)


def palette() -> NDArray[np.uint8]:
    """``(256, 3)`` colours, as PASCAL VOC numbers them (its VOClabelcolormap): far apart for neighbouring numbers."""
    number = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for bit in range(8):
        for channel in range(3):
            colours[:, channel] |= (((number >> (3 * bit + channel)) & 1) << (7 - bit)).astype(np.uint8)
    return colours
