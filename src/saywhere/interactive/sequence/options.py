"""How a sequence proposes and learns."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SequenceOptions:
    """How a sequence proposes and learns.

    The defaults are for our network and were chosen on sequences of photos-7k:val (docs/sequences.md);
    :data:`PUBLISHED` are the paper's (Sequential Interactive Image Segmentation, sections 3.2, 3.3 and 4.1).

    Attributes:
        propose: whether first clicks are proposed (initial click proposal, ICP).
        learn: whether the purification layer learns (online purification optimisation, OPO).
        levels: the purified levels that proposals compare, 0 the finest. ``(3,)`` is the paper's R4, ``(0, 1, 2, 3)``
            its R-MS.
        filter: side of the mean filter over the confidence map, as a share of the image's longer side.
        clicks: maximum number of initial clicks in the click bank.
        rate: learning rate.
        momentum: of stochastic gradient descent.
        steps: gradient steps for each accepted mask.
        batch: examples in a step.
        most_positive: maximum number of positive clicks on an example.
        most_negative: maximum number of negative clicks on an example.
        bank: maximum number of training examples.
        held_out: every ``held_out``-th accepted mask is a validation example and not learned from.
        side: longer side, in pixels, at which masks are learned from.
        interval: the paper's delta: the parameters for image n were learned from the first n - delta masks. Then
            ``accept`` returns after learning. With None a background thread learns, and an image gets the parameters
            that are ready when it is opened.
        seed: of the random numbers.
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


PUBLISHED = SequenceOptions(levels=(3,), rate=5e-3, batch=8)
"""The options of the paper; those that it does not give are as for our network."""
