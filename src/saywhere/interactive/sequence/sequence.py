"""A sequence: one kind of object on many photographs. Proposes the first click, learns from every finished mask."""

from __future__ import annotations

import warnings
from collections import deque
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, cast

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from saywhere.core import robot
from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.deprecation import renamed_methods
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import PhraseError, SaywhereError
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.interactive.segmenter import Segmenter
from saywhere.interactive.sequence import proposal
from saywhere.interactive.sequence.memory import (
    LearnedState,
    Memory,
    add_example,
    is_validation,
    remove_example,
    store_example,
)
from saywhere.interactive.sequence.options import SequenceOptions
from saywhere.interactive.sequence.proposal import BankedClick, ProposalOutcome
from saywhere.interactive.sequence.purification import PurificationLearner
from saywhere.interactive.sequence.state import claim, load_state, previous_path, save_state, state_path
from saywhere.interactive.sequence.worker import Worker
from saywhere.runtime.base import PurifyingRuntime

HOME: Final = Path("~/.local/share/saywhere/sequences")
EVEN = 0.5  # the chance of being right from which on a further object is proposed


@renamed_methods(trouble="error", refuse="reject", take_back="retract")
class Sequence:
    """Annotates one kind of object, called ``label``, on one photograph after another, through a Segmenter.

        with saywhere.Sequence(seg, label="butterfly") as seq:
            click = seq.propose(photo)        # None when nothing is known yet; seq.confidence_map says where it looked
            if click:
                seg.add(click)                # or clicks of one's own, as ever
            seq.accept()                      # the mask is right: remember it, learn from it in the background

    What is learned is kept under ``folder``, a small file a label, and found again by the same label and weights; with
    ``folder=None`` it ends with the sequence. Only the Segmenter's runtime is changed, between photographs, and put
    back by :meth:`close`. A folder that cannot be used is no error: ``error`` then says in one line what is wrong (a
    warning does, too), and annotation goes on, with what was last learned, without learning more.

    ``phrase`` is said of every object before its first click. Raises SaywhereError when the network has no purification
    layer.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        label: str,
        folder: str | Path | None = HOME,
        options: SequenceOptions | None = None,
        phrase: str | None = None,
    ) -> None:
        self.segmenter, self.label, self.phrase = segmenter, label, phrase
        self.options = options or SequenceOptions()
        if not segmenter.runtime.capabilities.purification_strides:
            raise SaywhereError(
                f"weights '{segmenter.runtime.name}': it has no purification layer, which a sequence learns with; "
                "use saywhere or sequential"
            )
        self.runtime = cast(PurifyingRuntime, segmenter.runtime)
        self.error: str | None = None
        self.memory = Memory()
        self._learner = PurificationLearner(self.runtime, self.options, phrase)
        self._learned = self._learner.start()
        self._facts = {"weights": self.runtime.digest, "label": label}
        self._path = None if folder is None else state_path(Path(folder).expanduser(), label)
        self._lock: FileLock | None = None
        if self._path is not None:
            self._open(self._path)
        self._finished = deque([self._learned], maxlen=self.options.interval)
        self._worker = Worker(self._learn, self._fail) if self.options.interval is None else None
        self._adapted: tuple[LearnedState, PurifyingRuntime] | None = None
        self._encoded: EncodedImage | None = None
        self._done: dict[int, BoolArray] = {}
        self._refused: list[BoolArray] = []
        self.proposed: Click | None = None
        self.confidence = 0.0
        self.confidence_map: FloatArray | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    # Annotating

    def propose(
        self, photo: str | Path | Image.Image | NDArray[Any] | None = None, taken: BoolArray | None = None
    ) -> Click | None:
        """Open a photograph and say where an object of this kind seems to be; the Segmenter has no click yet.

        Without ``photo`` it goes on in the one that is open, with what is not in an accepted mask. A new photograph
        always gets a proposal once an object was annotated; a further object only when the proposal is likelier right
        than not, by how earlier ones turned out. Afterwards ``confidence_map`` ``(H, W)`` is the mean cosine with the
        first clicks of the objects before (None while there are none), and ``confidence`` its filtered value at the
        proposal. ``taken`` ``(H, W)`` is what other objects have of the photograph, beside the masks accepted here.
        Raises SaywhereError when the photograph cannot be read.
        """
        self._look(photo)
        self.proposed, self.confidence, self.confidence_map = None, 0.0, None
        if self.phrase is not None:
            self._say(self.phrase)
        if not self.options.propose or not self.memory.clicks:
            return None
        ignore = self._ignored() if taken is None else self._ignored() | taken
        self.confidence_map = self._confidence()
        reach = int(self.options.filter * max(ignore.shape)) // 2 * 2 + 1
        best = proposal.propose_click(self.confidence_map, ignore, reach)
        if best is None:
            return None
        click, self.confidence = best
        if ignore.any() and proposal.chance(self.confidence, self.memory.outcomes) < EVEN:
            return None
        self.proposed = click
        return click

    def accept(self, mask: BoolArray | None = None) -> int:
        """The mask is right: remember its first click and learn from it. Returns the object's number, see
        :meth:`retract`.

        ``mask`` ``(H, W)`` replaces the Segmenter's where it was corrected by other means. Raises SaywhereError when
        there is no mask or it is empty.
        """
        if self._encoded is None or self.segmenter.encoded is not self._encoded:
            raise SaywhereError("accept: this photograph was not opened by this sequence; call propose first")
        answered = self.segmenter.mask
        if mask is None and answered is not None:
            mask = answered.array
        if mask is None or mask.shape != self._encoded.size or not mask.any():
            raise SaywhereError(
                "accept: there is no mask, or it is empty or of another size; click on the object first"
            )
        memory, number = self.memory, self.memory.given
        first = next((c for c in self.segmenter.prompt.clicks if c.positive), None) or robot.first_click(mask)
        clicks = (*memory.clicks, BankedClick(number, self._vectors(first)))[-self.options.clicks :]
        outcomes = memory.outcomes
        if self.proposed is not None:
            right = bool(mask[int(self.proposed.y), int(self.proposed.x)])
            outcomes = (*outcomes, ProposalOutcome(number, self.confidence, right))
        held_out = is_validation(len(memory.numbers), self.options)
        new = store_example(number, held_out, self._encoded.image, mask, self.options.side)
        self.memory = Memory(
            (*memory.numbers, number), number + 1, clicks, outcomes, add_example(memory.examples, new, self.options)
        )
        self._done[number] = mask
        self.proposed = None
        self._learn_from(self.memory, anew=False)
        return number

    def reject(self) -> None:
        """The proposal is on no object of this kind: the next :meth:`propose` looks elsewhere in the photograph."""
        if self.proposed is None or self._encoded is None:
            raise SaywhereError("reject: nothing is proposed")
        region = np.zeros(self._encoded.size, np.bool_)
        if self.segmenter.mask is not None:
            region |= self.segmenter.mask.array
        h, w = region.shape
        reach = max(h, w) // 24
        x, y = int(self.proposed.x), int(self.proposed.y)
        region[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True
        self._refused.append(region)
        self.memory = replace(
            self.memory, outcomes=(*self.memory.outcomes, ProposalOutcome(-1, self.confidence, False))
        )
        self.proposed = None

    def retract(self, number: int | None = None) -> None:
        """An accepted mask, the last one if None, was wrong: forget its click, and learn the others' examples anew.

        Raises SaywhereError when there is no such mask.
        """
        memory = self.memory
        if number is None and memory.numbers:
            number = memory.numbers[-1]
        if number not in memory.numbers:
            raise SaywhereError(f"retract({number}): no mask with that number stands; {len(memory.numbers)} do")
        self.memory = Memory(
            tuple(n for n in memory.numbers if n != number),
            memory.given,
            tuple(click for click in memory.clicks if click.number != number),
            tuple(outcome for outcome in memory.outcomes if outcome.number != number),
            remove_example(memory.examples, number, self.options),
        )
        self._done.pop(number, None)
        self._learn_from(self.memory, anew=True)

    # Learning

    @property
    def learned(self) -> LearnedState:
        """What has been learned up to now."""
        return self._learned

    @property
    def adapted(self) -> PurifyingRuntime:
        """The network with what the next photograph will be seen with: what is learned, as far as ``interval`` lets."""
        learned = self._learned if self.options.interval is None else self._finished[0]
        if self._adapted is None or self._adapted[0] is not learned:
            self._adapted = learned, self.runtime.with_purification(learned.parameters)
        return self._adapted[1]

    def wait(self) -> None:
        """Until everything that was accepted is learned and on the disk."""
        if self._worker is not None:
            self._worker.wait()

    def close(self) -> None:
        """Finish learning, and give the Segmenter its own runtime and other processes the label back."""
        if self._worker is not None:
            self._worker.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self.segmenter.runtime = self.runtime

    def _learn_from(self, memory: Memory, anew: bool) -> None:
        if self._worker is not None:
            self._worker.put((memory, anew))
            return
        try:
            self._learn((memory, anew))
        except SaywhereError as error:
            self._fail(str(error))
        self._finished.append(self._learned)

    def _learn(self, job: tuple[Memory, bool]) -> None:
        """One round, or all of them anew, and the state to the disk. Whoever looks meanwhile sees what was before."""
        memory, anew = job
        if self.error is not None:
            return
        if self.options.learn:
            if anew:
                self._learned = self._learner.rebuild(memory.examples)
            else:
                self._learned = self._learner.round(self._learned, memory.examples)
        if self._path is not None:
            save_state(self._path, memory, self._learned, self._facts)

    def _fail(self, reason: str) -> None:
        self.error = f"{reason}; annotation of {self.label!r} goes on without learning"
        warnings.warn(self.error, stacklevel=3)

    def _open(self, path: Path) -> None:
        """The label's state, or the one before where that is damaged; error where the file cannot be used."""
        try:
            self._lock = claim(path)
        except SaywhereError as error:
            self._fail(str(error))
        for place in (path, previous_path(path)):
            try:
                found = load_state(place, self._facts)
            except SaywhereError as error:
                if self.error is None:
                    self._fail(f"{error}; move it away to begin anew")
                continue
            if found is not None:
                self.memory, self._learned = found
                return

    # Looking

    def _look(self, photo: str | Path | Image.Image | NDArray[Any] | None) -> None:
        if photo is None and self._encoded is not None and self.segmenter.encoded is self._encoded:
            self.segmenter.reset()
            return
        # Only here do newly learned parameters come into use: never while a photograph is worked on.
        pixels = self.segmenter.encoded.image if photo is None else photo
        before, self.segmenter.runtime = self.segmenter.runtime, self.adapted
        try:
            self.segmenter.set_image(pixels)
        except SaywhereError:
            self.segmenter.runtime = before
            raise
        self._encoded = self.segmenter.encoded
        self._done, self._refused = {}, []

    def _say(self, phrase: str) -> None:
        try:
            self.segmenter.say(phrase)
        except PhraseError as error:
            self.phrase = None
            warnings.warn(f"{error}; the sequence goes on without it", stacklevel=3)

    def _ignored(self) -> BoolArray:
        """The ignore mask I of equation 2: what is annotated, or was proposed and refused, in this photograph."""
        encoded = self.segmenter.encoded
        ignore = np.zeros(encoded.size, np.bool_)
        for region in (*self._done.values(), *self._refused):
            ignore |= region
        return ignore

    def _levels(self, kind: str) -> list[FloatArray]:
        encoded = self.segmenter.encoded
        return cast(PurifyingRuntime, self.segmenter.runtime).levels(encoded.features(encoded.full_crop), kind)

    def _vectors(self, click: Click) -> tuple[NDArray[np.float16], ...]:
        """The raw vectors under a click: what is learned later changes their purified ones too."""
        encoded = self.segmenter.encoded
        (seen,) = encoded.full_crop.to_crop(Prompt((click,))).clicks
        found = []
        for level, stride in zip(self._levels("raw"), self.runtime.capabilities.purification_strides, strict=True):
            row, column = proposal.cell(seen, stride, (level.shape[1], level.shape[2]))
            found.append(level[:, row, column].astype(np.float16))
        return tuple(found)

    def _confidence(self) -> FloatArray:
        encoded, runtime = self.segmenter.encoded, cast(PurifyingRuntime, self.segmenter.runtime)
        pure = self._levels("pure")
        banks = []
        for level in self.options.levels:
            raw = np.stack([click.vectors[level] for click in self.memory.clicks]).astype(np.float32)
            banks.append(runtime.purified(level, raw))
        strides = [self.runtime.capabilities.purification_strides[level] for level in self.options.levels]
        size = encoded.full_crop.height, encoded.full_crop.width
        found = proposal.confidence_map([pure[level] for level in self.options.levels], banks, strides, size)
        return encoded.full_crop.to_image(found, encoded.size, 0.0)
