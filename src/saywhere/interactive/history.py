"""The interactions with an image, which can be undone and redone."""

from __future__ import annotations

from dataclasses import dataclass, field

from saywhere.core.prompt import Prompt
from saywhere.interactive.decoding import Answer


@dataclass(frozen=True)
class Step:
    """What one interaction led to.

    Attributes:
        prompt: all clicks, the phrase and the box.
        answer: the mask and its candidates; None without a prompt.
        output: the network's output that was chosen, which later clicks keep to; None: the predicted IoU chooses.
        choices: how many candidates were chosen so far.
        is_kept: whether a further positive click keeps this mask: it is from a positive click or was chosen. A phrase
            or a box alone may have given another object than the click is on.
        start: a mask that was given to begin from, which the network sees from the first click on.
    """

    prompt: Prompt = field(default_factory=Prompt)
    answer: Answer | None = None
    output: int | None = None
    choices: int = 0
    is_kept: bool = False
    start: Answer | None = None


@dataclass(frozen=True)
class History:
    """Steps and which of them is the present one. It never changes, so threads and copies may share it.

    Attributes:
        steps: the oldest first; those after the present one were undone.
        position: the index of the present step, and how many steps can be undone.
    """

    steps: tuple[Step, ...] = (Step(),)
    position: int = 0

    @property
    def present(self) -> Step:
        """The present step."""
        return self.steps[self.position]

    def extended(self, step: Step) -> History:
        """With a further step, which becomes the present one; what was undone is forgotten."""
        return History((*self.steps[: self.position + 1], step), self.position + 1)

    def undone(self) -> History:
        """With the step before as the present one."""
        return History(self.steps, max(self.position - 1, 0))

    def redone(self) -> History:
        """With the step after as the present one."""
        return History(self.steps, min(self.position + 1, len(self.steps) - 1))

    def shortened(self, keep: int) -> History:
        """Without the steps that were undone, and with at most ``keep`` steps before the present one."""
        steps = self.steps[max(self.position - keep, 0) : self.position + 1]
        return History(steps, len(steps) - 1)
