"""The memory of a sequence: accepted masks as small compressed crops, some for training and some for validation.

No torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize, bounding_box
from saywhere.interactive.sequence.options import SequenceOptions
from saywhere.interactive.sequence.proposal import BankedClick, ProposalOutcome
from saywhere.runtime.base import Parameters

CROP_MARGIN = 1.7  # side of the crop around the object over side of the object, as in a Segmenter's zoom
WEBP_QUALITY = 80  # of the stored crops


@dataclass(frozen=True)
class StoredExample:
    """An accepted mask as a training or validation example.

    Attributes:
        number: the object's number in the sequence.
        is_validation: whether the example is for validation and not learned from.
        crops: the whole image and a crop around the object, each as WebP, with its mask as PNG.
    """

    number: int
    is_validation: bool
    crops: tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True)
class LearnedState:
    """The state of learning after some rounds.

    Attributes:
        parameters: the purification layer's parameters.
        last_good: its parameters after the last round that did not harm the validation examples.
        rounds: number of rounds.
        rollbacks: number of rounds that were undone because they harmed the validation examples.
    """

    parameters: Parameters
    last_good: Parameters
    rounds: int = 0
    rollbacks: int = 0


@dataclass(frozen=True)
class Memory:
    """What a sequence remembers.

    Attributes:
        numbers: numbers of the accepted masks that were not retracted.
        accepted_count: number of masks that were ever accepted; the number of the next one.
        clicks: the click bank of section 3.2, oldest first.
        outcomes: which proposals were correct, oldest first.
        examples: the examples to learn from, oldest first.
    """

    numbers: tuple[int, ...] = ()
    accepted_count: int = 0
    clicks: tuple[BankedClick, ...] = ()
    outcomes: tuple[ProposalOutcome, ...] = ()
    examples: tuple[StoredExample, ...] = field(default=(), repr=False)


def store_example(number: int, is_validation: bool, image: ImageArray, mask: BoolArray, side: int) -> StoredExample:
    """Compress an accepted mask and its image.

    Args:
        number: the object's number in the sequence.
        is_validation: whether the example is for validation.
        image: ``(H, W, 3)`` RGB.
        mask: ``(H, W)``, not empty.
        side: longer side of the stored crops, in pixels.
    """
    h, w = mask.shape
    extent = bounding_box(mask)
    assert extent is not None, "the mask is empty"
    left, top, right, bottom = extent
    margin = (CROP_MARGIN - 1.0) * max(right - left, bottom - top) / 2.0
    boxes = (0.0, 0.0, w, h), (left - margin, top - margin, right + margin, bottom + margin)
    crops = [Crop.from_box(box, ImageSize(h, w), side) for box in boxes]
    return StoredExample(number, is_validation, tuple(_compress(crop, image, mask) for crop in crops))


def _compress(crop: Crop, image: ImageArray, mask: BoolArray) -> tuple[bytes, bytes]:
    """The WebP of a crop and the PNG of its mask."""
    cropped_mask = mask[crop.top : crop.bottom, crop.left : crop.right].astype(np.uint8) * 255
    resized_mask = cv2.resize(cropped_mask, (crop.width, crop.height), interpolation=cv2.INTER_AREA) > 127
    _, webp = cv2.imencode(".webp", crop.crop(image)[..., ::-1], [cv2.IMWRITE_WEBP_QUALITY, WEBP_QUALITY])
    _, png = cv2.imencode(".png", resized_mask.astype(np.uint8) * 255, [cv2.IMWRITE_PNG_BILEVEL, 1])
    return webp.tobytes(), png.tobytes()


def decompress(webp: bytes, png: bytes, side: int) -> tuple[ImageArray, BoolArray, BoolArray]:
    """A stored crop and its mask, padded to a square.

    Args:
        webp: the crop.
        png: its mask.
        side: side of the square, in pixels.

    Returns:
        The image ``(side, side, 3)``, whose padding repeats the border; the mask ``(side, side)``; and the counted
        pixels ``(side, side)``, which are those outside the padding.
    """
    pixels = cv2.imdecode(np.frombuffer(webp, np.uint8), cv2.IMREAD_COLOR)
    mask_pixels = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert pixels is not None
    assert mask_pixels is not None
    h, w = pixels.shape[:2]
    image = cv2.copyMakeBorder(pixels[..., ::-1], 0, side - h, 0, side - w, cv2.BORDER_REPLICATE)
    mask = np.zeros((side, side), np.bool_)
    counted = mask.copy()
    counted[:h, :w] = True
    mask[:h, :w] = mask_pixels > 127
    return np.asarray(image, np.uint8), mask, counted


def is_validation_index(index: int, options: SequenceOptions) -> bool:
    """Whether the example that comes after ``index`` others is for validation: every ``held_out``-th one is."""
    if options.held_out is None:
        return False
    return index % options.held_out == options.held_out - 1


def add_example(
    examples: tuple[StoredExample, ...], new: StoredExample, options: SequenceOptions
) -> tuple[StoredExample, ...]:
    """The examples with a new one at the end.

    When there are as many training (or validation) examples as allowed, a random one of them is removed, so that the
    rest spans the whole sequence.
    """
    same_kind = [example for example in examples if example.is_validation == new.is_validation]
    capacity = options.bank
    if capacity is not None and new.is_validation and options.held_out is not None:
        capacity = max(capacity // options.held_out, 1)
    if capacity is not None and len(same_kind) >= capacity:
        removed = same_kind[int(np.random.default_rng((options.seed, new.number, 7)).integers(len(same_kind)))]
        examples = tuple(example for example in examples if example is not removed)
    return (*examples, new)


def remove_example(
    examples: Sequence[StoredExample], number: int, options: SequenceOptions
) -> tuple[StoredExample, ...]:
    """The examples without that of an object; the rest is split again into training and validation examples.

    The result does not depend on the removed example.
    """
    rest = [example for example in examples if example.number != number]
    return tuple(
        replace(example, is_validation=is_validation_index(index, options)) for index, example in enumerate(rest)
    )
