"""A sequence: one kind of object in many images. Proposes first clicks and learns from accepted masks."""

from __future__ import annotations

import warnings
from collections import deque
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, NoReturn, Self, cast

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray
from PIL import Image

from saywhere.core import robot
from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.deprecation import renamed_arguments, renamed_methods
from saywhere.core.prompt import Click
from saywhere.errors import PhraseError, SaywhereError
from saywhere.interactive.checks import check_mask
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.interactive.instances import Instance
from saywhere.interactive.segmenter import Segmenter
from saywhere.interactive.sequence import proposal
from saywhere.interactive.sequence.features import image_confidence, image_likelihood, raw_vectors_at
from saywhere.interactive.sequence.memory import (
    LearnedState,
    Memory,
    add_example,
    is_validation_index,
    remove_example,
    store_example,
)
from saywhere.interactive.sequence.options import SequenceOptions
from saywhere.interactive.sequence.proposal import BankedClick, ProposalOutcome
from saywhere.interactive.sequence.purification import PurificationLearner
from saywhere.interactive.sequence.state import load_state, lock_state, previous_path, save_state, state_path
from saywhere.interactive.sequence.worker import Worker
from saywhere.runtime.base import PurifyingRuntime

DEFAULT_FOLDER: Final = Path("~/.local/share/saywhere/sequences")


@renamed_methods(trouble="error", refuse="reject", take_back="retract")
class Sequence:
    """Annotates one kind of object in one image after another, through a Segmenter.

    Proposes the first click in each image (initial click proposal, ICP) and learns from accepted masks (online
    purification optimisation, OPO) as in Sequential Interactive Image Segmentation, sections 3.2 and 3.3::

        with saywhere.Sequence(seg, label="butterfly") as seq:
            click = seq.propose(image)        # None when there is nothing to compare with yet
            if click:
                seg.add(click)                # or clicks of your own, as without a sequence
            seq.accept()                      # the mask is right: remember it, learn from it in the background

    What is learned is saved in a small file for each label, and is used again by the same label and weights. The
    Segmenter's runtime changes only between images; :meth:`close` restores it. A folder that cannot be used is not an
    exception: ``error`` then says in one line what is wrong, a warning does too, and annotation continues with the
    parameters that were learned last.

    Args:
        segmenter: segments the images.
        label: what the objects are.
        folder: where state files are saved; None: what is learned ends with the sequence.
        options: how to propose and learn.
        phrase: becomes part of the prompt of each object, before its first click.

    Attributes:
        error: None, or one line that says why nothing more is learned or saved.
        memory: what the sequence remembers.
        proposed: the click that was proposed last; None after it was accepted or rejected.
        confidence: the filtered confidence there.
        confidence_map: ``(H, W)`` mean cosine similarity of the image to the click bank (equations 2 and 3); None while
            the bank is empty.

    Raises:
        SaywhereError: the network has no purification layer.
    """

    def __init__(
        self,
        segmenter: Segmenter,
        label: str,
        folder: str | Path | None = DEFAULT_FOLDER,
        options: SequenceOptions | None = None,
        phrase: str | None = None,
    ) -> None:
        self.segmenter, self.label, self.phrase = segmenter, label, phrase
        self.options = options or SequenceOptions()
        if not segmenter.runtime.capabilities.purification_strides:
            raise SaywhereError(
                f"weights '{segmenter.runtime.name}': they have no purification layer, which a sequence learns with; "
                "use saywhere or sequential"
            )
        self.runtime = cast(PurifyingRuntime, segmenter.runtime)
        self.error: str | None = None
        self.memory = Memory()
        self._learner = PurificationLearner(self.runtime, self.options, phrase)
        self._learned = self._learner.start()
        self._identity = {"weights": self.runtime.digest, "label": label}
        self._path = None if folder is None else state_path(Path(folder).expanduser(), label)
        self._lock: FileLock | None = None
        if self._path is not None:
            self._load_state(self._path)
        # With an interval, the next image gets the oldest of the last ``interval`` states.
        self._recent_states = deque([self._learned], maxlen=self.options.interval)
        self._worker = Worker(self._learn, self._fail) if self.options.interval is None else None
        self._adapted: tuple[LearnedState, PurifyingRuntime] | None = None
        self._encoded: EncodedImage | None = None
        self._accepted_masks: dict[int, BoolArray] = {}
        self._rejected_regions: list[BoolArray] = []
        self.proposed: Click | None = None
        self.confidence = 0.0
        self.confidence_map: FloatArray | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> NoReturn:
        raise SaywhereError(
            f"sequence {self.label!r}: cannot be copied or pickled, because one process at a time learns a label; "
            "close it, and open it with the same folder and label where it is needed"
        )

    # Annotation

    @renamed_arguments(photo="image", taken="ignore")
    def propose(
        self, image: str | Path | Image.Image | NDArray[Any] | None = None, ignore: BoolArray | None = None
    ) -> Click | None:
        """Open an image and propose a click on an object of this kind.

        The Segmenter gets the image and no click. A new image gets a proposal as soon as one object was annotated. A
        further object in the same image is proposed only if the proposal is probably correct, judged by the outcomes
        of earlier ones.

        Args:
            image: a path, a PIL image, or ``(H, W, 3)`` uint8 RGB; None: the image that is open.
            ignore: ``(H, W)`` pixels where nothing is proposed, in addition to the accepted masks and rejected
                proposals of this image.

        Returns:
            The click; None when there is nothing to propose.

        Raises:
            SaywhereError: the image cannot be read, or ``ignore`` is no mask of its size.
        """
        self._open_image(image)
        if ignore is not None:
            ignore = check_mask(ignore, self.segmenter.encoded.size, "propose: ignore").copy()
        self.proposed, self.confidence, self.confidence_map = None, 0.0, None
        if self.phrase is not None:
            self._set_phrase(self.phrase)
        if not self.options.propose or not self.memory.clicks:
            return None
        ignored = self._ignore_mask() if ignore is None else self._ignore_mask() | ignore
        self.confidence_map = image_confidence(
            self.segmenter.encoded, self._adapted_runtime, self.memory.clicks, self.options.levels
        )
        filter_side = int(self.options.filter * max(ignored.shape)) // 2 * 2 + 1
        best = proposal.propose_click(self.confidence_map, ignored, filter_side)
        if best is None:
            return None
        click, self.confidence = best
        probability = proposal.success_probability(self.confidence, self.memory.outcomes)
        if ignored.any() and probability < self.options.further_probability:
            return None
        self.proposed = click
        return click

    def instances(self, phrase: str | None = None, others: Collection[BoolArray] = ()) -> list[Instance]:
        """All further objects of this kind in the image that is open; see :meth:`saywhere.Segmenter.instances`.

        They are looked for where features are like those under the first clicks of earlier objects.

        Args:
            phrase: what they are; they are then looked for where it applies, too.
            others: ``(H, W)`` masks of objects of other kinds, none of which is found.

        Returns:
            The objects, the highest score first; none before an object was accepted, unless there is a phrase.

        Raises:
            SaywhereError: there is no image, a mask is of another size, or the network does not know the phrase.
        """
        if phrase is None and not self.memory.clicks:
            return []
        existing = [*self._accepted_masks.values(), *self._rejected_regions]
        return self.segmenter.instances(phrase, self._likelihood(), existing, list(others))

    def _likelihood(self) -> FloatArray | None:
        """Where objects of this kind are likely in the image that is open; None before one was accepted."""
        if not self.memory.clicks:
            return None
        return image_likelihood(
            self.segmenter.encoded, self._adapted_runtime, self.memory.clicks, self.options.levels,
            self.memory.outcomes,
        )  # fmt: skip

    def accept(self, mask: BoolArray | None = None) -> int:
        """Accept the Segmenter's mask: remember its first click and learn from it.

        Args:
            mask: ``(H, W)``, another mask to accept instead.

        Returns:
            The object's number, for :meth:`retract`.

        Raises:
            SaywhereError: there is no mask, it is empty or of another size, or the image was not opened by
                :meth:`propose`.
        """
        if self._encoded is None or self.segmenter.encoded is not self._encoded:
            raise SaywhereError("accept: this image was not opened by this sequence; call propose first")
        if mask is None and self.segmenter.mask is not None:
            mask = self.segmenter.mask.array
        elif mask is not None:
            mask = check_mask(mask, self._encoded.size, "accept: mask").copy()
        if mask is None or not mask.any():
            raise SaywhereError(
                "accept: there is no mask, or it is empty or of another size; click on the object first"
            )
        memory, number = self.memory, self.memory.accepted_count
        first = next((c for c in self.segmenter.prompt.clicks if c.positive), None) or robot.first_click(mask)
        clicks = (*memory.clicks, BankedClick(number, raw_vectors_at(self._encoded, self._adapted_runtime, first)))
        if self.options.clicks is not None:
            clicks = clicks[-self.options.clicks :]
        outcomes = memory.outcomes
        if self.proposed is not None:
            correct = bool(mask[int(self.proposed.y), int(self.proposed.x)])
            outcomes = (*outcomes, ProposalOutcome(number, self.confidence, correct))
        is_validation = is_validation_index(len(memory.numbers), self.options)
        new = store_example(number, is_validation, self._encoded.image, mask, self.options.side)
        self.memory = Memory(
            (*memory.numbers, number), number + 1, clicks, outcomes, add_example(memory.examples, new, self.options)
        )
        self._accepted_masks[number] = mask
        self.proposed = None
        if self.error is not None:
            warnings.warn(f"accept: nothing is learned from this mask: {self.error}", stacklevel=2)
        self._start_learning(self.memory, rebuild=False)
        return number

    def reject(self) -> None:
        """Reject the proposal: there is no object of this kind. The next :meth:`propose` ignores that region.

        Raises:
            SaywhereError: there is no proposal.
        """
        if self.proposed is None or self._encoded is None:
            raise SaywhereError("reject: nothing is proposed; call propose first")
        region = np.zeros(self._encoded.size, np.bool_)
        if self.segmenter.mask is not None:
            region |= self.segmenter.mask.array
        h, w = region.shape
        reach = max(h, w) // 24
        x, y = int(self.proposed.x), int(self.proposed.y)
        region[max(y - reach, 0) : y + reach + 1, max(x - reach, 0) : x + reach + 1] = True
        self._rejected_regions.append(region)
        self.memory = replace(
            self.memory, outcomes=(*self.memory.outcomes, ProposalOutcome(-1, self.confidence, False))
        )
        self.proposed = None

    def retract(self, number: int | None = None) -> None:
        """Retract an accepted mask that was wrong: forget its click, and learn again from the other masks alone.

        Args:
            number: what :meth:`accept` returned; the last one if None.

        Raises:
            SaywhereError: there is no such mask.
        """
        memory = self.memory
        if number is None and memory.numbers:
            number = memory.numbers[-1]
        if number not in memory.numbers:
            raise SaywhereError(
                f"retract({number}): there is no accepted mask of that number; "
                f"give one that accept returned and that was not retracted ({len(memory.numbers)} are left)"
            )
        self.memory = Memory(
            tuple(n for n in memory.numbers if n != number),
            memory.accepted_count,
            tuple(click for click in memory.clicks if click.number != number),
            tuple(outcome for outcome in memory.outcomes if outcome.number != number),
            remove_example(memory.examples, number, self.options),
        )
        self._accepted_masks.pop(number, None)
        self._start_learning(self.memory, rebuild=True)

    # Learning

    @property
    def learns(self) -> bool:
        """Whether it learns from what is accepted, and saves it; :attr:`error` says why not."""
        return self.error is None

    @property
    def learned(self) -> LearnedState:
        """What was learned from the masks so far, as far as learning has come."""
        return self._learned

    @property
    def adapted(self) -> PurifyingRuntime:
        """The runtime for the next image, with the learned parameters that ``options.interval`` selects."""
        learned = self._learned if self.options.interval is None else self._recent_states[0]
        if self._adapted is None or self._adapted[0] is not learned:
            self._adapted = learned, self.runtime.with_purification(learned.parameters)
        return self._adapted[1]

    def wait(self) -> None:
        """Wait until all accepted masks are learned from and saved."""
        if self._worker is not None:
            self._worker.wait()

    def close(self) -> None:
        """Finish learning, unlock the label for other processes, and restore the Segmenter's runtime."""
        if self._worker is not None:
            self._worker.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None
        self.segmenter.runtime = self.runtime

    def _start_learning(self, memory: Memory, rebuild: bool) -> None:
        """Learn from the examples, in the background if there is no interval; see :meth:`_learn`."""
        if self._worker is not None:
            self._worker.put((memory, rebuild))
            return
        try:
            self._learn((memory, rebuild))
        except SaywhereError as error:
            self._fail(str(error))
        self._recent_states.append(self._learned)

    def _learn(self, job: tuple[Memory, bool]) -> None:
        """One round of learning, or all rounds again from the start, and save the state.

        Other threads see the state before until the round is finished.
        """
        memory, rebuild = job
        if self.error is not None:
            return
        if self.options.learn:
            if rebuild:
                self._learned = self._learner.rebuild(memory.examples[: self.options.learn_first])
            elif self.options.learn_first is None or len(memory.numbers) <= self.options.learn_first:
                self._learned = self._learner.round(self._learned, memory.examples)
        if self._path is not None:
            save_state(self._path, memory, self._learned, self._identity)

    def _fail(self, reason: str) -> None:
        self.error = f"{reason}; annotation of {self.label!r} continues without learning"
        warnings.warn(self.error, stacklevel=3)

    def _load_state(self, path: Path) -> None:
        """Lock and read the label's state file, or its previous version where it is damaged."""
        try:
            self._lock = lock_state(path)
        except SaywhereError as error:
            self._fail(str(error))
        for version in (path, previous_path(path)):
            try:
                state = load_state(version, self._identity, self.runtime.metadata.get("equal_to", ()))
            except SaywhereError as error:
                if self.error is None:
                    self._fail(f"{error}; move it away to start again")
                continue
            if state is not None:
                self.memory, self._learned = state
                return

    # The image

    @property
    def _adapted_runtime(self) -> PurifyingRuntime:
        """The Segmenter's runtime, with the parameters that are in use for the image that is open."""
        return cast(PurifyingRuntime, self.segmenter.runtime)

    def _open_image(self, image: str | Path | Image.Image | NDArray[Any] | None) -> None:
        if image is None and self._encoded is not None and self.segmenter.encoded is self._encoded:
            self.segmenter.reset()
            return
        # Newly learned parameters come into use only here, never while an image is worked on.
        pixels = self.segmenter.encoded.image if image is None else image
        before, self.segmenter.runtime = self.segmenter.runtime, self.adapted
        try:
            self.segmenter.set_image(pixels)
        except SaywhereError:
            self.segmenter.runtime = before
            raise
        self._encoded = self.segmenter.encoded
        self._accepted_masks, self._rejected_regions = {}, []

    def _set_phrase(self, phrase: str) -> None:
        try:
            self.segmenter.say(phrase)
        except PhraseError as error:
            self.phrase = None
            warnings.warn(f"{error}; the sequence continues without it", stacklevel=3)

    def _ignore_mask(self) -> BoolArray:
        """The ignore mask I of equation 2: the accepted masks and rejected proposals of this image."""
        encoded = self.segmenter.encoded
        ignore = np.zeros(encoded.size, np.bool_)
        for region in (*self._accepted_masks.values(), *self._rejected_regions):
            ignore |= region
        return ignore
