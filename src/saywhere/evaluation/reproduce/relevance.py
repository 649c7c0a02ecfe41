"""How a network with a relevance map fails: the map misses the object, or only the mask does (Text+Click, figure 9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.core.images import read_image
from saywhere.core.metrics import iou
from saywhere.core.rle import RunLengths
from saywhere.core.settings import Settings
from saywhere.data.datasets import Sample
from saywhere.errors import PhraseError
from saywhere.evaluation.evaluate import Interaction
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.base import Runtime

FAILED = 0.5  # a mask of lower IoU has failed


def failures(
    runtime: Runtime, settings: Settings, samples: Sequence[Sample], records: Mapping[str, Sequence[Interaction]]
) -> dict[str, dict[str, float]]:
    """The two kinds of failure of Text+Click, section 6.6 and figure 9, as 0 or 1 for each object.

    Args:
        runtime: a network with a relevance map.
        settings: how images are encoded.
        samples: the objects, each with its phrase.
        records: the interactions with them; the mask after the last one is examined.

    Returns:
        By figure and object: ``map_misses``, the map's most relevant pixel is not on the object; among the objects
        where it is, ``mask_fails``, the mask's IoU is below 0.5, and ``covers_more``, it fails because it covers most
        of the object and at least as much besides.
    """
    result: dict[str, dict[str, float]] = {"map_misses": {}, "mask_fails": {}, "covers_more": {}}
    segmenter = Segmenter(runtime, settings)
    for sample in samples:
        target = sample.target()
        segmenter.set_image(read_image(sample.image_path))
        try:
            peak = int(segmenter.relevance_map(sample.phrase or "").argmax())
            hit = bool(target.flat[peak])
        except PhraseError:
            hit = False
        result["map_misses"][sample.name] = float(not hit)
        if hit:
            text = records[sample.name][-1].mask
            mask = RunLengths.from_counts(text, ImageSize(*target.shape)).mask()
            fails, more = mask_failure(mask, target, sample.ignore())
            result["mask_fails"][sample.name], result["covers_more"][sample.name] = float(fails), float(more)
    return result


def mask_failure(mask: BoolArray, target: BoolArray, ignore: BoolArray | None) -> tuple[bool, bool]:
    """Whether a mask has failed, and whether that is because it covers more than the object.

    Args:
        mask: ``(H, W)``.
        target: ``(H, W)`` the object.
        ignore: ``(H, W)`` pixels that do not count.
    """
    counted = np.ones_like(target) if ignore is None else ~ignore
    failed = iou(mask, target, ignore) < FAILED
    covered = int(np.count_nonzero(mask & target & counted))
    outside = int(np.count_nonzero(mask & ~target & counted))
    return failed, failed and 2 * covered >= int(np.count_nonzero(target & counted)) and outside >= covered
