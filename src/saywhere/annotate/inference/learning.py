"""Proposals that improve with every image that is done: an annotation sequence for each label."""

from __future__ import annotations

import threading
from collections.abc import Sequence as SequenceOf
from pathlib import Path

import cv2
import numpy as np

from saywhere.annotate.inference.proposals import ClickProposal, MaskSource, PhraseProposer
from saywhere.annotate.region import Region
from saywhere.core import robot
from saywhere.core.arrays import BoolArray, FloatArray, ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Click
from saywhere.core.settings import Settings
from saywhere.interactive.segmenter import Segmenter
from saywhere.interactive.sequence import Sequence
from saywhere.interactive.sequence.features import image_likelihood, raw_vectors_at
from saywhere.interactive.sequence.proposal import BankedClick
from saywhere.runtime.base import PurifyingRuntime, Runtime

MAX_MAP_SIDE = 384  # longer side, in pixels, of the confidence map that a page is sent


class SequenceProposer:
    """A :class:`saywhere.interactive.sequence.Sequence` for each label, saved in ``folder``.

    A label without accepted objects is proposed by its name. Learning goes on in the sequences' own threads. Any thread
    may use it; of a label one proposes or learns at a time.
    """

    def __init__(self, runtime: Runtime, settings: Settings, folder: Path) -> None:
        """The runtime's network must have a purification layer (``capabilities.purification_strides``)."""
        self._runtime, self._settings, self._folder = runtime, settings, folder
        self._sequences: dict[str, Sequence] = {}
        self._lock = threading.Lock()
        self._label_locks: dict[str, threading.Lock] = {}
        self._current_image: dict[str, ImageArray] = {}
        # What was learned from each object: the mask's event, and the mask's number in the sequence.
        self._learned: dict[tuple[str, int, int], tuple[int, int]] = {}
        self._by_phrase = PhraseProposer()

    def propose(self, segmenter: Segmenter, label: str, existing: SequenceOf[Region]) -> ClickProposal | None:
        """See :meth:`saywhere.annotate.inference.proposals.Proposer.propose`."""
        sequence = self._sequence(label)
        if not sequence.memory.clicks:
            return self._by_phrase.propose(segmenter, label, existing)
        with self._label_locks[label]:
            return self._propose_by_sequence(sequence, segmenter, label, existing)

    def _propose_by_sequence(
        self, sequence: Sequence, segmenter: Segmenter, label: str, existing: SequenceOf[Region]
    ) -> ClickProposal | None:
        masks = [region.to_image(ImageSize(*segmenter.encoded.size)) for region in existing]
        ignored = np.logical_or.reduce(masks) if masks else None
        click = self._propose_in(sequence, label, segmenter.encoded.image, ignored)
        if click is None or sequence.confidence_map is None:
            return None
        return ClickProposal(click, _reduced(sequence.confidence_map))

    def likelihood(self, segmenter: Segmenter, label: str, existing: SequenceOf[Region]) -> FloatArray | None:
        """See :meth:`saywhere.annotate.inference.proposals.Proposer.likelihood`."""
        sequence, encoded = self._sequence(label), segmenter.encoded
        with self._label_locks[label]:
            bank, outcomes = list(sequence.memory.clicks), sequence.memory.outcomes
        for region in existing:
            if region.area:
                inside = robot.first_click(region.mask)
                click = Click(region.left + inside.x, region.top + inside.y)
                bank.append(BankedClick(-1, raw_vectors_at(encoded, sequence.runtime, click)))
        if not bank:
            return None
        return image_likelihood(encoded, sequence.runtime, bank, sequence.options.levels, outcomes)

    def learn(self, segmenter: Segmenter, label: str, mask: Region, source: MaskSource) -> None:
        """See :meth:`saywhere.annotate.inference.proposals.Proposer.learn`; the same mask is learned from once."""
        sequence = self._sequence(label)
        with self._label_locks[label]:
            self._learn(sequence, segmenter, label, mask, source)

    def _learn(self, sequence: Sequence, segmenter: Segmenter, label: str, mask: Region, source: MaskSource) -> None:
        image, object, event = source
        known = self._learned.get((label, image, object))
        if mask.area == 0 or (known is not None and known[0] == event):
            return
        if known is not None and known[1] in sequence.memory.numbers:
            sequence.retract(known[1])
        self._propose_in(sequence, label, segmenter.encoded.image)
        first = next((click for click in segmenter.prompt.clicks if click.positive), None)
        if first is not None:
            sequence.segmenter.add(first)
        number = sequence.accept(mask.to_image(ImageSize(*segmenter.encoded.size)))
        self._learned[(label, image, object)] = event, number

    def adapted_runtime(self, label: str) -> PurifyingRuntime | None:
        """See :meth:`saywhere.annotate.inference.proposals.Proposer.adapted_runtime`."""
        sequence = self._sequence(label)
        return sequence.adapted if sequence.learned.rounds else None

    def fault(self, label: str) -> str | None:
        """See :meth:`saywhere.annotate.inference.proposals.Proposer.fault`."""
        sequence = self._sequences.get(label)
        return None if sequence is None else sequence.error

    def close(self) -> None:
        """Finish what is being learned."""
        for sequence in self._sequences.values():
            sequence.close()

    def _sequence(self, label: str) -> Sequence:
        with self._lock:
            if label not in self._sequences:
                self._sequences[label] = Sequence(Segmenter(self._runtime, self._settings), label, self._folder)
                self._label_locks[label] = threading.Lock()
            return self._sequences[label]

    def _propose_in(
        self, sequence: Sequence, label: str, pixels: ImageArray, ignored: BoolArray | None = None
    ) -> Click | None:
        """The sequence's proposal in an image, which is opened unless it is the sequence's current one."""
        same = self._current_image.get(label) is pixels
        self._current_image[label] = pixels
        return sequence.propose(None if same else pixels, ignored)


def _reduced(confidence: FloatArray) -> FloatArray:
    scale = min(1.0, MAX_MAP_SIDE / max(confidence.shape))
    size = max(round(confidence.shape[1] * scale), 1), max(round(confidence.shape[0] * scale), 1)
    return np.asarray(np.clip(cv2.resize(confidence, size, interpolation=cv2.INTER_AREA), 0.0, 1.0), np.float32)
