"""How much people changed what was proposed to them: where that is much, a second look is worth most.

The disagreement of an object is 1 - IoU of the mask that was proposed and the mask that it has now. Proposed is the
network's answer to its first click, box or phrase, an instance that was accepted, or a mask that was imported: a second
opinion, or another program's. What was drawn by hand from the beginning, or copied, has none. That of an image is the
highest of its objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from saywhere.annotate.events import EventHistory
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths, containment

PROPOSED = frozenset({"click", "box", "phrase", "instance", "import"})  # kinds of events whose mask nobody drew


def image_disagreement(
    history: EventHistory, size: ImageSize, load_masks: Callable[[Iterable[int]], Mapping[int, bytes]]
) -> float | None:
    """The highest disagreement of an image's objects, from 0 to 1; None where no mask was proposed.

    Args:
        history: the image's events.
        size: its size.
        load_masks: compressed run lengths by the numbers of the events that they are stored with.
    """
    first: dict[int, int | None] = {}
    for event in history.active:
        if event.masked and event.object is not None:
            first.setdefault(event.object, event.seq if event.kind in PROPOSED else None)
    pairs = [
        (proposed, state.mask)
        for id, state in history.state.objects.items()
        if (proposed := first.get(id)) is not None and state.mask is not None
    ]
    if not pairs:
        return None
    changed = [pair for pair in pairs if pair[0] != pair[1]]
    masks = {
        seq: RunLengths(*size, counts) for seq, counts in load_masks({n for pair in changed for n in pair}).items()
    }
    return max((1.0 - _iou(masks[a], masks[b]) for a, b in changed if a in masks and b in masks), default=0.0)


def _iou(one: RunLengths, other: RunLengths) -> float:
    if not one.area or not other.area:
        return float(one.area == other.area)
    shared = float(np.nan_to_num(containment([one, other])[0, 1])) * one.area
    return shared / (one.area + other.area - shared)
