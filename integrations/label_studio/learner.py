"""Learns from submitted annotations: a :class:`saywhere.Sequence` for each label."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from saywhere import Segmenter, Sequence, Settings
from saywhere.core.arrays import BoolArray, ImageArray
from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError
from saywhere.interactive.instances import Instance
from saywhere.runtime.base import PurifyingRuntime, Runtime

RECORD = "label-studio.json"  # in the folder of the states


@dataclass(frozen=True)
class LabelledMask:
    """A mask to learn from.

    Attributes:
        label: the label's value.
        mask: ``(H, W)`` bool.
    """

    label: str
    mask: BoolArray

    @property
    def digest(self) -> str:
        """Changes with the label and with any pixel."""
        content = self.label.encode() + bytes(str(self.mask.shape), "ascii") + self.mask.tobytes()
        return hashlib.sha256(content).hexdigest()[:32]


@dataclass(frozen=True)
class _Learned:
    label: str
    number: int
    digest: str


class Learner:
    """What was learned of each label; any thread may use it.

    Args:
        runtime: of the weights as they ship.
        settings: of the segmenters.
        folder: where states are saved; None: what is learned ends with the program.
        enabled: whether it learns at all.

    Raises:
        SaywhereError: the folder has a damaged record.
    """

    def __init__(self, runtime: Runtime, settings: Settings, folder: Path | None, enabled: bool = True) -> None:
        self._enabled = enabled
        self._runtime, self._settings, self._folder = runtime, settings, folder
        self._sequences: dict[str, Sequence] = {}
        # Clicks need what was learned while something else is being learned, so that two locks are needed.
        self._lock, self._opening = threading.Lock(), threading.Lock()
        self._record = {} if folder is None else _read_record(folder / RECORD)

    @property
    def can_learn(self) -> bool:
        """Whether it is to learn, and the weights have a purification layer, which is what learns."""
        return self._enabled and bool(self._runtime.capabilities.purification_strides)

    def adapted(self, label: str) -> PurifyingRuntime | None:
        """The runtime for a label; None where nothing was learned."""
        sequence = self._sequence(label)
        return sequence.adapted if sequence is not None and sequence.learned.rounds else None

    def instances(self, label: str, phrase: str | None, image: ImageArray) -> list[Instance] | None:
        """All objects in an image that are like those that were learned; None where nothing was learned."""
        with self._lock:
            sequence = self._sequence(label)
            if sequence is None or not sequence.memory.clicks:
                return None
            sequence.propose(image)
            return sequence.instances(phrase)

    def learn(self, annotation: str, image: ImageArray, masks: Mapping[str, LabelledMask]) -> int:
        """Learn from an annotation, and forget what it had before and has no more.

        Args:
            annotation: its id.
            image: ``(H, W, 3)`` uint8 RGB.
            masks: by the ids of its regions.

        Returns:
            How many masks are new.
        """
        if not self.can_learn:
            return 0
        with self._lock:
            keys = {f"{annotation}/{region}": mask for region, mask in masks.items()}
            known = {
                key for key, mask in keys.items() if key in self._record and self._record[key].digest == mask.digest
            }
            self._forget([key for key in self._record if key.startswith(f"{annotation}/") and key not in known])
            new = {key: mask for key, mask in keys.items() if key not in known and mask.mask.any()}
            for label in dict.fromkeys(each.label for each in new.values()):
                sequence = self._sequence(label)
                assert sequence is not None
                sequence.propose(image)
                for key, mask in new.items():
                    if mask.label == label:
                        self._record[key] = _Learned(label, sequence.accept(mask.mask), mask.digest)
            self._save()
            return len(new)

    def forget(self, annotation: str) -> None:
        """Learn again without the masks of an annotation that was deleted."""
        if not self.can_learn:
            return
        with self._lock:
            self._forget([key for key in self._record if key.startswith(f"{annotation}/")])
            self._save()

    def close(self) -> None:
        """Finish learning."""
        with self._lock:
            for sequence in self._sequences.values():
                sequence.close()
            self._sequences.clear()

    def _forget(self, keys: list[str]) -> None:
        for key in keys:
            learned = self._record.pop(key)
            sequence = self._sequence(learned.label)
            if sequence is not None and learned.number in sequence.memory.numbers:
                sequence.retract(learned.number)

    def _sequence(self, label: str) -> Sequence | None:
        if not self.can_learn:
            return None
        with self._opening:
            if label not in self._sequences:
                # It warns of a state that cannot be used, and goes on without.
                self._sequences[label] = Sequence(Segmenter(self._runtime, self._settings), label, self._folder)
            return self._sequences[label]

    def _save(self) -> None:
        """The record is saved after the states that it speaks of."""
        if self._folder is None:
            return
        for sequence in self._sequences.values():
            sequence.wait()
        content = {key: asdict(each) for key, each in self._record.items()}
        write_atomically(self._folder / RECORD, json.dumps(content, indent=1).encode())


def _read_record(path: Path) -> dict[str, _Learned]:
    try:
        return {str(key): _Learned(**each) for key, each in json.loads(path.read_bytes()).items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise SaywhereError(f"file '{path}': cannot be read ({error}); move it away to learn anew") from error
