"""What a sequence remembers of finished masks: small packed pictures, and which of them it learns from.

No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.interactive.sequence.options import SequenceOptions
from saywhere.interactive.sequence.proposal import BankedClick, ProposalOutcome
from saywhere.runtime.base import Parameters

MARGIN = 1.7  # of the close picture, as a Segmenter's closer look
QUALITY = 80  # of the WebP in which pictures are kept


@dataclass(frozen=True)
class StoredExample:
    """A finished mask: two pictures of it, of the whole photograph and of its environment, each with its mask.

    Both are packed (WebP and PNG). StoredExample ``number`` is the object's place in the sequence; a
    ``is_validation`` one is not learned from.
    """

    number: int
    is_validation: bool
    pictures: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class LearnedState:
    """The purification layer after some rounds, ``good``: when it last did well on is_validation-out masks, and how
    often it had to step back."""

    parameters: Parameters
    good: Parameters
    rounds: int = 0
    back: int = 0


@dataclass(frozen=True)
class Memory:
    """What a sequence remembers: the numbers of the masks that stand, how many were ever accepted, the click bank, how
    proposals turned out, and examples."""

    numbers: tuple[int, ...] = ()
    given: int = 0
    clicks: tuple[BankedClick, ...] = ()
    outcomes: tuple[ProposalOutcome, ...] = ()
    examples: tuple[StoredExample, ...] = field(default=(), repr=False)


def store_example(number: int, is_validation: bool, photo: ImageArray, mask: BoolArray, side: int) -> StoredExample:
    """Take an example from an ``(H, W, 3)`` photograph and an ``(H, W)`` mask that is not empty."""
    h, w = mask.shape
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    left, top, right, bottom = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
    grow = (MARGIN - 1.0) * max(right - left, bottom - top) / 2.0
    boxes = (0.0, 0.0, w, h), (left - grow, top - grow, right + grow, bottom + grow)
    crops = [Crop.from_box(box, ImageSize(h, w), side) for box in boxes]
    return StoredExample(number, is_validation, tuple(_packed(crop, photo, mask) for crop in crops))


def _packed(crop: Crop, photo: ImageArray, mask: BoolArray) -> tuple[bytes, bytes]:
    part = mask[crop.top : crop.bottom, crop.left : crop.right].astype(np.uint8) * 255
    small = cv2.resize(part, (crop.width, crop.height), interpolation=cv2.INTER_AREA) > 127
    _, picture = cv2.imencode(".webp", crop.crop(photo)[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, QUALITY])
    _, drawn = cv2.imencode(".png", small.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])
    return picture.tobytes(), drawn.tobytes()


def unpacked(picture: bytes, mask: bytes, side: int) -> tuple[ImageArray, BoolArray, BoolArray]:
    """A picture ``(side, side, 3)``, its mask, and which pixels count: the rest repeats the border."""
    pixels = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    drawn = cv2.imdecode(np.frombuffer(mask, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    assert drawn is not None
    below, beside = side - pixels.shape[0], side - pixels.shape[1]
    whole = cv2.copyMakeBorder(pixels[..., ::-1], 0, below, 0, beside, cv2.BORDER_REPLICATE)
    inside = np.zeros((side, side), np.bool_)
    counted = inside.copy()
    counted[: pixels.shape[0], : pixels.shape[1]] = True
    inside[: pixels.shape[0], : pixels.shape[1]] = drawn > 127
    return np.asarray(whole, np.uint8), inside, counted


def is_validation(count: int, options: SequenceOptions) -> bool:
    """Whether the example after ``count`` others is is_validation out."""
    return count % options.held_out == options.held_out - 1


def add_example(
    examples: tuple[StoredExample, ...], new: StoredExample, options: SequenceOptions
) -> tuple[StoredExample, ...]:
    """The bank with one more; when it is full one of the old ones of its kind goes, so that it spans the sequence."""
    alike = [one for one in examples if one.is_validation == new.is_validation]
    room = max(options.bank // options.held_out, 1) if new.is_validation else options.bank
    if len(alike) >= room:
        gone = alike[int(np.random.default_rng((options.seed, new.number, 7)).integers(len(alike)))]
        examples = tuple(one for one in examples if one is not gone)
    return (*examples, new)


def remove_example(
    examples: Sequence[StoredExample], number: int, options: SequenceOptions
) -> tuple[StoredExample, ...]:
    """The bank without an object's example, and is_validation out anew as if it had never been there."""
    left = [one for one in examples if one.number != number]
    return tuple(replace(one, is_validation=is_validation(place, options)) for place, one in enumerate(left))
