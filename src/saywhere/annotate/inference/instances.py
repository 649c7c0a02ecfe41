"""All instances of a label or phrase in an image, as a page shows them before any is accepted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from saywhere.annotate.inference.proposals import Proposer
from saywhere.annotate.region import Region
from saywhere.core.geometry import Box, ImageSize
from saywhere.errors import PhraseError
from saywhere.interactive.instances import Instance, InstanceSearch
from saywhere.interactive.segmenter import Segmenter


@dataclass(frozen=True)
class SearchTarget:
    """What is looked for.

    Args:
        phrase: what was said; None: the label's name is the phrase, as far as the network knows it.
        label: the name of the objects' label, if there is one.
        existing: objects of this label in the image.
        others: objects of other labels.
    """

    phrase: str | None
    label: str | None
    existing: Sequence[Region]
    others: Sequence[Region]


@dataclass(frozen=True)
class ProposedInstance:
    """An object that may be accepted.

    Args:
        region: its mask.
        score: in [0, 1], the higher the surer.
        x: of a pixel on it.
        y: of the same pixel.
        radius: of the click there that its mask is the answer to; None: the click has none, or there is a box.
        box: that its mask is the answer to; None with weights that know no boxes.
    """

    region: Region
    score: float
    x: float
    y: float
    radius: float | None
    box: Box | None

    @classmethod
    def of(cls, instance: Instance) -> ProposedInstance:
        click = instance.prompt.clicks[0] if instance.prompt.clicks else instance.click
        region, box = Region(*instance.mask.part()), instance.prompt.box
        return cls(region, instance.score, click.x, click.y, click.radius, box)


def begin_search(segmenter: Segmenter, proposer: Proposer, target: SearchTarget) -> InstanceSearch | None:
    """A search in an image that the segmenter has encoded; None where a label says nothing of what to look for.

    Raises:
        SaywhereError: the network knows no phrase, or no word of this one, and no such object was annotated before.
    """
    size = ImageSize(*segmenter.encoded.size)
    likelihood = None if target.label is None else proposer.likelihood(segmenter, target.label, target.existing)
    existing = [region.to_image(size) for region in target.existing]
    others = [region.to_image(size) for region in target.others]
    phrase = target.phrase or target.label
    if likelihood is not None and not segmenter.runtime.capabilities.relevance:
        phrase = None
    try:
        return segmenter.instance_search(phrase, likelihood, existing, others)
    except PhraseError:
        if likelihood is not None:
            return segmenter.instance_search(None, likelihood, existing, others)
        if target.phrase is None:
            return None
        raise
