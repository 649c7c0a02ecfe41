"""Online purification optimisation: finished masks teach the purification layer, and nothing else.

Sequential Interactive Image Segmentation, section 3.3. Works with any runtime that has a purification layer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from saywhere.core import robot
from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.metrics import iou
from saywhere.core.prompt import Click, Prompt
from saywhere.interactive.sequence.memory import LearnedState, StoredExample, unpacked
from saywhere.interactive.sequence.options import SequenceOptions
from saywhere.runtime.base import Parameters, PurifyingRuntime

CACHED_IMAGES = 24  # images whose features stay in memory, 2 MB each
MAX_HARM = 0.01  # mean IoU on the validation examples that a round may cost before it is undone


@dataclass(frozen=True)
class EncodedExample:
    """An example as the network's encoder sees it.

    Attributes:
        features: of the runtime; learning does not change their raw levels.
        raw: the raw levels in half precision, each ``(C, h, w)``.
        target: ``(side, side)`` the mask.
        counted: ``(side, side)`` which pixels count.
    """

    features: object
    raw: tuple[NDArray[np.float16], ...]
    target: BoolArray
    counted: BoolArray


PromptedExample = tuple[EncodedExample, Prompt]


class PurificationLearner:
    """Learns the parameters of the purification layer from stored examples.

    What it learns depends on the examples, their order and ``options.seed`` alone.

    Args:
        runtime: the network; it is not changed.
        options: learning rate, batch and the like.
        phrase: goes with every example, where the sequence has one.
    """

    def __init__(self, runtime: PurifyingRuntime, options: SequenceOptions, phrase: str | None = None) -> None:
        self.runtime, self.options, self.phrase = runtime, options, phrase
        self.initial = runtime.purification_parameters()
        self._encoded: OrderedDict[tuple[bytes, bytes], EncodedExample] = OrderedDict()

    def start(self) -> LearnedState:
        """The parameters that the weights file holds."""
        return LearnedState(self.initial, self.initial)

    def rebuild(self, examples: Sequence[StoredExample]) -> LearnedState:
        """Learn from the examples, in their order, from the start: nothing of any other example is left."""
        learned = self.start()
        for count in range(1, len(examples) + 1):
            learned = self.round(learned, examples[:count])
        return learned

    def round(self, learned: LearnedState, examples: Sequence[StoredExample]) -> LearnedState:
        """Take some steps on the training examples, the last of which is new.

        Where the new one is for validation, the result is checked on all validation examples.
        """
        used = [one for one in examples if not one.is_validation]
        if not used:
            return replace(learned, rounds=learned.rounds + 1)
        rng = np.random.default_rng((self.options.seed, learned.rounds))
        parameters = dict(learned.parameters)
        velocity: dict[str, FloatArray] = {}
        for _ in range(self.options.steps):
            self._step(parameters, velocity, self._draw(used, rng))
        learned = replace(learned, parameters=parameters, rounds=learned.rounds + 1)
        if not examples[-1].is_validation:
            return learned
        return self._guarded(learned, [one for one in examples if one.is_validation])

    def _guarded(self, learned: LearnedState, validation: Sequence[StoredExample]) -> LearnedState:
        """What was learned if it serves the validation examples, else the better of the last good and the initial."""
        now = self.score(learned.parameters, validation)
        past = [(self.score(p, validation), p) for p in {id(p): p for p in (learned.good, self.initial)}.values()]
        best, better = max(past, key=lambda one: one[0])
        if now >= best - MAX_HARM:
            return replace(learned, good=learned.parameters)
        return replace(learned, parameters=better, good=better, back=learned.back + 1)

    def score(self, parameters: Parameters, examples: Sequence[StoredExample]) -> float:
        """Mean IoU of the masks after one click, at the centre of each."""
        runtime = self.runtime.with_purification(parameters)
        scores = []
        for packed in (packed for one in examples for packed in one.pictures):
            example = self._example(*packed)
            if example is not None:
                prompt = Prompt((robot.first_click(example.target),), self.phrase)
                mask = runtime.decode(runtime.purify(example.features), prompt, None) > 0.0
                scores.append(iou(mask, example.target, ~example.counted))
        return float(np.mean(scores)) if scores else 0.0

    def _draw(self, examples: Sequence[StoredExample], rng: np.random.Generator) -> list[PromptedExample]:
        """The newest example and some others, each seen whole or close, with clicks as a person might give them."""
        picks = [len(examples) - 1, *rng.integers(len(examples), size=self.options.batch - 1)]
        drawn = []
        for pictures in (examples[int(pick)].pictures for pick in picks):
            encoded = (self._example(*pictures[int(i)]) for i in rng.permutation(len(pictures)))
            example = next((example for example in encoded if example is not None), None)
            if example is not None:
                drawn.append((example, Prompt(tuple(self._clicks(example, rng)), self.phrase)))
        return drawn

    def _example(self, image: bytes, mask: bytes) -> EncodedExample | None:
        """An example encoded; None where nothing of the object is left in it."""
        key = image, mask
        if key not in self._encoded:
            pixels, target, counted = unpacked(image, mask, self.options.side)
            if not target.any():
                return None
            features = self.runtime.encode(pixels)
            # Half precision takes half the memory, and is far finer than what learning changes.
            raw = tuple(level.astype(np.float16) for level in self.runtime.levels(features, "raw"))
            self._encoded[key] = EncodedExample(features, raw, target, counted)
            if len(self._encoded) > CACHED_IMAGES:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(key)
        return self._encoded[key]

    def _clicks(self, example: EncodedExample, rng: np.random.Generator) -> list[Click]:
        """1 to 5 positive and 0 to 5 negative clicks: fewer than in training, to reduce their impact (section 3.3)."""
        target = example.target
        positive = robot.positive_clicks(target, int(rng.integers(1, self.options.most_positive + 1)), rng)
        strategy = ("rim", "anywhere")[int(rng.integers(2))]
        count = int(rng.integers(0, self.options.most_negative + 1))
        negative = robot.negative_clicks(target, count, rng, strategy)
        return positive + [click for click in negative if example.counted[int(click.y), int(click.x)]]

    def _step(
        self, parameters: dict[str, FloatArray], velocity: dict[str, FloatArray], batch: Sequence[PromptedExample]
    ) -> None:
        """One step of stochastic gradient descent with momentum on the mean binary cross-entropy of a batch."""
        if not batch:
            return
        runtime = self.runtime.with_purification(parameters)
        gradients: list[Mapping[str, FloatArray]] = []
        for example, prompt in batch:
            raw = [level.astype(np.float32) for level in example.raw]
            gradients.append(runtime.purification_gradient(raw, prompt, example.target, example.counted)[1])
        for name in gradients[0]:  # statistics have no gradient
            gradient = sum(one[name] for one in gradients) / np.float32(len(gradients))
            velocity[name] = np.asarray(self.options.momentum * velocity.get(name, 0.0) + gradient, np.float32)
            parameters[name] = np.asarray(parameters[name] - self.options.rate * velocity[name], np.float32)
