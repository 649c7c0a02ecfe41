"""Click proposals: where the next object of a label may be. What learns from accepted masks has the same interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from saywhere.annotate.region import Region
from saywhere.core.arrays import FloatArray
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Click
from saywhere.core.relevance import PRESENT_FROM, relevance_peak
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.base import PurifyingRuntime

MaskSource = tuple[int, int, int]
"""Number of the image, of the object, and of the event that the mask is stored with."""


@dataclass(frozen=True)
class ClickProposal:
    """A place to click.

    Args:
        click: in pixels of the image.
        confidence: ``(h, w)`` in [0, 1], of any size: how likely an object of the label is at each place of the image.
    """

    click: Click
    confidence: FloatArray


class Proposer(Protocol):
    """Proposes objects of a label, and may learn from accepted masks. For the inference threads."""

    def propose(self, segmenter: Segmenter, label: str, existing: Sequence[Region]) -> ClickProposal | None:
        """Where another object of a label is, outside existing ones; None when there seems to be none.

        Args:
            segmenter: has encoded the image and has no prompt.
            label: name of the label.
            existing: objects of the image.
        """

    def likelihood(self, segmenter: Segmenter, label: str, existing: Sequence[Region]) -> FloatArray | None:
        """``(h, w)`` in [0, 1], of any size: where objects of a label are likely, judged by features of others.

        Args:
            segmenter: has encoded the image and has no prompt.
            label: name of the label.
            existing: objects of this label in this image; those of earlier images are known.

        Returns:
            None where no object of the label is known, or the network has no features to compare.
        """

    def learn(self, segmenter: Segmenter, label: str, mask: Region, source: MaskSource) -> None:
        """Learn from a mask that a person accepted.

        Args:
            segmenter: has answered the object's interactions.
            label: name of the object's label.
            mask: the accepted mask.
            source: where the mask is stored. The same mask may be accepted again; another mask of the same object
                replaces it.
        """

    def adapted_runtime(self, label: str) -> PurifyingRuntime | None:
        """The network with what was learned of a label, for the masks of its objects; None where nothing was."""

    def fault(self, label: str) -> str | None:
        """One line that says why nothing is learned of a label; None where nothing hinders it."""

    def close(self) -> None:
        """Finish what is being learned."""


class PhraseProposer:
    """Proposes where the label's name, taken as a phrase, applies best. Learns nothing."""

    def propose(self, segmenter: Segmenter, label: str, existing: Sequence[Region]) -> ClickProposal | None:
        """See :meth:`Proposer.propose`."""
        try:
            relevance = segmenter.relevance_in_crop(label)
        except SaywhereError:
            return None
        size, map_size = ImageSize(*segmenter.encoded.size), ImageSize(*relevance.shape)
        free = relevance.copy()
        for region in existing:
            free[region.resized(size, map_size)] = 0.0
        click, peak = relevance_peak(free)
        if peak < PRESENT_FROM:
            return None
        return ClickProposal(segmenter.encoded.full_crop.click_to_image(click), free)

    def likelihood(self, segmenter: Segmenter, label: str, existing: Sequence[Region]) -> FloatArray | None:
        """None: features are not compared."""
        return None

    def learn(self, segmenter: Segmenter, label: str, mask: Region, source: MaskSource) -> None:
        """Learns nothing."""

    def adapted_runtime(self, label: str) -> PurifyingRuntime | None:
        """None: nothing is learned."""
        return None

    def fault(self, label: str) -> str | None:
        """None: nothing is to be learned."""
        return None

    def close(self) -> None:
        """Nothing to finish."""
