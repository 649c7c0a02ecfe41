"""How a sequence proposes and learns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SequenceOptions:
    """Settings for our network, chosen on sequences of photos-7k:val (docs/sequences.md); :data:`PUBLISHED` are the
    paper's (Sequential Interactive Image Segmentation, sections 3.2, 3.3 and 4.1).

    ``propose`` and ``learn`` switch its two parts, ICP and OPO. ``levels`` are the purified levels that proposals
    compare, 0 the finest: ``(3,)`` is the paper's R4, ``(0, 1, 2, 3)`` its R-MS. ``filter`` is the side of the mean
    filter over the confidence map, as a share of the photograph's longer side. ``clicks`` is how many initial clicks
    are remembered, ``bank`` how many masks are learned from; every ``held_out``-th mask is not learned from but guards
    the others' examples. ``side`` is the size in pixels at which masks are learned from. ``interval`` is delta: what
    photograph n sees was learned from the first n - delta masks, within ``accept``; with None learning goes on in the
    background, and what it has finished when a photograph is opened is used.
    """

    propose: bool = True
    learn: bool = True
    levels: tuple[int, ...] = (2, 3)
    filter: float = 1 / 16
    clicks: int = 256
    rate: float = 0.02
    momentum: float = 0.0
    steps: int = 4
    batch: int = 2
    most_positive: int = 5
    most_negative: int = 5
    bank: int = 24
    held_out: int = 5
    side: int = 320
    interval: int | None = None
    seed: int = 0


PUBLISHED = SequenceOptions(levels=(3,), rate=5e-3, batch=8)  # what the paper does not say is as for our network
