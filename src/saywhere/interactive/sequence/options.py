"""How a sequence proposes and learns."""

from __future__ import annotations

from dataclasses import dataclass

from saywhere.core.settings import Settings


@dataclass(frozen=True)
class SequenceOptions:
    """How a sequence proposes and learns.

    The defaults are for our network and were chosen on sequences of photos-7k:val (research/earlier/sequences.md);
    :data:`PUBLISHED` are the paper's (Sequential Interactive Image Segmentation, sections 3.2, 3.3 and 4.1).

    Attributes:
        propose: whether first clicks are proposed (initial click proposal, ICP).
        learn: whether the purification layer learns (online purification optimisation, OPO).
        levels: the purified levels that proposals compare, 0 the finest. ``(3,)`` is the paper's R4, ``(0, 1, 2, 3)``
            its R-MS.
        filter: side of the mean filter over the confidence map, as a share of the image's longer side.
        further_probability: least probability of being right for a further proposal in an image whose first object is
            annotated; 0 makes every further proposal.
        clicks: maximum number of initial clicks in the click bank; None: no limit.
        rate: learning rate.
        momentum: of stochastic gradient descent.
        weight_decay: of stochastic gradient descent, on all parameters of the purification layer.
        steps: gradient steps for each accepted mask.
        batch: examples in a step.
        most_positive: maximum number of positive clicks on an example.
        most_negative: maximum number of negative clicks on an example.
        bank: maximum number of training examples; None: no limit.
        held_out: every ``held_out``-th accepted mask is a validation example and not learned from, and a round of
            learning that harms the validation examples is undone. None: all masks are learned from, and no round is
            undone.
        learn_first: only this many accepted masks of the sequence are learned from (the paper's figure 4 a); None: all.
        side: longer side, in pixels, at which masks are learned from.
        augment: whether each example of a batch is a random crop of its image, flipped half of the time; else the
            whole image or the crop around its object. Random crops are encoded anew in each step.
        interval: the paper's delta: the parameters for image n were learned from the first n - delta masks. Then
            ``accept`` returns after learning. With None a background thread learns, and an image gets the parameters
            that are ready when it is opened.
        seed: of the random numbers.
    """

    propose: bool = True
    learn: bool = True
    levels: tuple[int, ...] = (2, 3)
    filter: float = 1 / 16
    further_probability: float = 0.5
    clicks: int | None = 256
    rate: float = 0.02
    momentum: float = 0.0
    weight_decay: float = 0.0
    steps: int = 4
    batch: int = 2
    most_positive: int = 5
    most_negative: int = 5
    bank: int | None = 24
    held_out: int | None = 5
    learn_first: int | None = None
    side: int = 320
    augment: bool = False
    interval: int | None = None
    seed: int = 0


PUBLISHED = SequenceOptions(
    levels=(3,),  # section 3.2: the last layer, R4
    further_probability=0.0,  # section 3.2, figure 3: a point for each further instance; nothing decides whether
    clicks=None,  # section 3.2, equation 2: the mean over all previous initial clicks
    rate=5e-3,  # section 3.3: fixed
    momentum=0.9,  # section 4.1; section 3.3: online training is similar to that of the baseline
    weight_decay=5e-4,  # section 4.1, likewise
    steps=4,  # section 3.3: four iterations after a complete segmentation
    batch=8,  # section 3.3
    most_positive=5,  # section 3.3: within [1, 5]
    most_negative=5,  # section 3.3: within [0, 5]
    bank=None,  # section 3.3: images and instances are selected from all the annotated ones; figure 4 b limits them
    held_out=None,  # sections 3.3 and 4.3: every annotated image is learned from, and nothing is undone
    side=384,  # section 4.1: images are cropped and resized to 384 x 384
    augment=True,  # section 4.1: random flip and random clip
)
"""The options of the paper. It does not give the side of the mean filter (section 3.2), which is as for our network,
nor the interval delta that its figures have (section 3.3: greater than 1 is real time)."""

PUBLISHED_SETTINGS = Settings(
    size=384, zoom=False, unclicked_components=0.0, keep_clicked=False, flip=False, refine=None
)
"""The settings of the Segmenter in the paper: the network's mask of the whole image at 384 pixels (section 4.1; table
2's operations are those of 384 x 384), without zoom or post-processing."""
