"""Proposals that get better with every photograph that is done: a sequence for each label."""

from __future__ import annotations

from collections.abc import Sequence as Several
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.annotate.brush import Region
from saywhere.annotate.inference.proposals import ByName, Suggestion
from saywhere.core.arrays import ImageArray
from saywhere.core.prompt import Click
from saywhere.core.settings import Settings
from saywhere.interactive.segmenter import Segmenter
from saywhere.interactive.sequence import Sequence
from saywhere.runtime.base import PurifyingRuntime, Runtime

SHOWN = 384  # longer side, in pixels, of the confidence that a page is sent


class BySequence:
    """A :class:`saywhere.interactive.sequence.Sequence` for each label, kept in ``folder``; by its name until it
    knows an object.

    Learning goes on in the sequences' own threads. All else is for the desk's thread.
    """

    def __init__(self, runtime: Runtime, settings: Settings, folder: Path) -> None:
        """The runtime's network must have a purification layer (``capabilities.purification_strides``)."""
        self._runner, self._settings, self._folder = runtime, settings, folder
        self._sequences: dict[str, Sequence] = {}
        self._open: dict[str, ImageArray] = {}
        # What was learned from each object (photograph, number): the mask's event and the sequence's number.
        self._taught: dict[tuple[str, int, int], tuple[int, int]] = {}
        self._by_name = ByName()

    def propose(self, segmenter: Segmenter, label: str, taken: Several[Region]) -> Suggestion | None:
        """As :class:`saywhere.annotate.inference.proposals.Proposer` says."""
        sequence = self._of(label)
        if not sequence.memory.clicks:
            return self._by_name.propose(segmenter, label, taken)
        others = [region.spread(segmenter.encoded.size) for region in taken]
        masks = np.logical_or.reduce(others) if others else None
        click = self._look(sequence, label, segmenter.encoded.photo, masks)
        if click is None or sequence.confidence_map is None:
            return None
        return Suggestion(click, _small(sequence.confidence_map))

    def learn(self, segmenter: Segmenter, label: str, mask: Region, source: tuple[int, int, int]) -> None:
        """As :class:`saywhere.annotate.inference.proposals.Proposer` says; the same mask teaches once."""
        image, object, event = source
        known = self._taught.get((label, image, object))
        if mask.area == 0 or (known is not None and known[0] == event):
            return
        sequence = self._of(label)
        if known is not None and known[1] in sequence.memory.numbers:
            sequence.retract(known[1])
        self._look(sequence, label, segmenter.encoded.photo)
        first = next((click for click in segmenter.prompt.clicks if click.positive), None)
        if first is not None:
            sequence.segmenter.add(first)
        self._taught[(label, image, object)] = event, sequence.accept(mask.spread(segmenter.encoded.size))

    def adapted(self, label: str) -> PurifyingRuntime | None:
        """As :class:`saywhere.annotate.inference.proposals.Proposer` says."""
        sequence = self._of(label)
        return sequence.adapted if sequence.learned.rounds else None

    def close(self) -> None:
        """Finish what is being learned."""
        for sequence in self._sequences.values():
            sequence.close()

    def _of(self, label: str) -> Sequence:
        if label not in self._sequences:
            self._sequences[label] = Sequence(Segmenter(self._runner, self._settings), label, self._folder)
        return self._sequences[label]

    def _look(
        self, sequence: Sequence, label: str, photo: ImageArray, taken: NDArray[np.bool_] | None = None
    ) -> Click | None:
        """Have the sequence propose in a photograph, opening it where another one is open."""
        again = self._open.get(label) is photo
        self._open[label] = photo
        return sequence.propose(None if again else photo, taken)


def _small(confidence: NDArray[np.float32]) -> NDArray[np.float32]:
    scale = min(1.0, SHOWN / max(confidence.shape))
    size = max(round(confidence.shape[1] * scale), 1), max(round(confidence.shape[0] * scale), 1)
    return np.clip(cv2.resize(confidence, size, interpolation=cv2.INTER_AREA), 0.0, 1.0)
