"""Shared by the tests of sequences: quick settings, images of discs, and annotating one of them."""

from __future__ import annotations

import numpy as np

from conftest import disc
from saywhere import Sequence
from saywhere.core.settings import Settings
from saywhere.interactive.sequence import SequenceOptions

SMALL = Settings(size=96, zoom=False)
QUICK = SequenceOptions(levels=(0,), filter=0.02, side=64, batch=2, steps=1, rate=0.05, interval=1)


def photo_with(*places: tuple[int, int], colour: tuple[int, int, int] = (220, 30, 20)) -> np.ndarray:
    """Discs of radius 20 on blue, 128x96."""
    image = np.zeros((96, 128, 3), np.uint8)
    image[...] = (20, 40, 160)
    for x, y in places:
        image[disc(96, 128, x, y, 20)] = colour
    return image


def annotate(seq: Sequence, x: int, y: int, *others: tuple[int, int]) -> int:
    """Open an image of discs, click on the first and accept its true mask."""
    seq.propose(photo_with((x, y), *others))
    seq.segmenter.click(x, y)
    return seq.accept(disc(96, 128, x, y, 20))


def same(a: object, b: object) -> bool:
    left, right = a.parameters, b.parameters  # type: ignore[attr-defined]
    return all(np.array_equal(left[key], right[key]) for key in left)
