"""Where the next object of a label may be. What learns from accepted masks comes behind the same interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.annotate.brush import Region
from saywhere.core.arrays import FloatArray
from saywhere.core.prompt import Click
from saywhere.core.relevance import THERE, most_relevant_click, neighbourhood
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.base import PurifyingRuntime


@dataclass(frozen=True)
class Suggestion:
    """A place to click, and how likely each place of the photograph is (``confidence``, any size, in [0, 1])."""

    click: Click
    confidence: FloatArray


class Proposer(Protocol):
    """Proposes objects of a label, and may learn from every one that a person accepted. For the desk's thread alone."""

    def propose(self, segmenter: Segmenter, label: str, taken: Sequence[Region]) -> Suggestion | None:
        """Where another object of a label is, outside those that are taken; None when there seems to be none.

        ``segmenter`` has looked at the photograph and has no prompt.
        """

    def learn(self, segmenter: Segmenter, label: str, mask: Region, source: tuple[int, int, int]) -> None:
        """A person accepted a mask; ``segmenter`` was told all that was said of it.

        ``source`` is the photograph, the object and the mask's event: the same mask may be accepted again, and
        another one of the same object takes its place.
        """

    def adapted(self, label: str) -> PurifyingRuntime | None:
        """The network with what was learned of a label, for the masks of its objects; None where nothing was."""

    def close(self) -> None:
        """Finish what is being learned."""


class ByName:
    """Takes the label's name for a phrase. Learns nothing."""

    def propose(self, segmenter: Segmenter, label: str, taken: Sequence[Region]) -> Suggestion | None:
        try:
            relevance = segmenter.relevance_in_crop(label)
        except SaywhereError:
            return None
        height, width = segmenter.encoded.size
        free = relevance.copy()
        for region in taken:
            free[shrunk(region, (height, width), (relevance.shape[0], relevance.shape[1]))] = 0.0
        place = most_relevant_click(free)
        reach = neighbourhood(free)
        if cv2.blur(free, (reach, reach))[int(place.y), int(place.x)] < THERE:
            return None
        sx, sy = width / relevance.shape[1], height / relevance.shape[0]
        x = min((place.x + 0.5) * sx - 0.5, width - 1.0)
        y = min((place.y + 0.5) * sy - 0.5, height - 1.0)
        return Suggestion(Click(max(x, 0.0), max(y, 0.0)), free)

    def learn(self, segmenter: Segmenter, label: str, mask: Region, source: tuple[int, int, int]) -> None:
        """Nothing to learn from."""

    def adapted(self, label: str) -> PurifyingRuntime | None:
        """Nothing is learned."""
        return None

    def close(self) -> None:
        """Nothing to finish."""


def shrunk(region: Region, photo: tuple[int, int], size: tuple[int, int]) -> NDArray[np.bool_]:
    """A region of a photograph (h, w) as it is seen at another size (h, w)."""
    h, w = region.inside.shape
    seen = np.zeros(size, np.bool_)
    if h == 0 or w == 0:
        return seen
    sy, sx = size[0] / photo[0], size[1] / photo[1]
    top, left = int(region.top * sy), int(region.left * sx)
    bottom = min(max(int(np.ceil((region.top + h) * sy)), top + 1), size[0])
    right = min(max(int(np.ceil((region.left + w) * sx)), left + 1), size[1])
    part = cv2.resize(region.inside.astype(np.uint8), (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    seen[top:bottom, left:right] = part > 0
    return seen
