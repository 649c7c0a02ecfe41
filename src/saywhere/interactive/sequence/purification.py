"""Online purification optimisation (OPO): the purification layer, and nothing else, learns from accepted masks.

Sequential Interactive Image Segmentation, section 3.3. Works with any runtime that has a purification layer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core import robot
from saywhere.core.arrays import BoolArray, FloatArray, ImageArray
from saywhere.core.metrics import iou
from saywhere.core.prompt import Click, Prompt
from saywhere.interactive.sequence.memory import LearnedState, StoredExample, decompress
from saywhere.interactive.sequence.options import SequenceOptions
from saywhere.runtime.base import Parameters, PurifyingRuntime

CACHED_EXAMPLES = 24  # examples whose features stay in memory, 2 MB each
CROP_SHARES = 0.5, 1.0  # range of a random crop's side over that of its image
MAX_TRIES = 10  # of a random crop, until it shows a pixel of the object
MAX_HARM = 0.01  # mean IoU on the validation examples that a round may cost before it is undone


@dataclass(frozen=True)
class EncodedExample:
    """A crop of a stored example with its features.

    Attributes:
        features: what the runtime's ``encode`` returned; learning does not change their raw levels.
        raw: the raw levels in half precision, each ``(C, h, w)``.
        target: ``(side, side)`` the true mask.
        counted: ``(side, side)`` which pixels count.
    """

    features: object
    raw: tuple[NDArray[np.float16], ...]
    target: BoolArray
    counted: BoolArray


PromptedExample = tuple[EncodedExample, Prompt]


class PurificationLearner:
    """Learns the parameters of the purification layer from stored examples.

    The result depends on the examples, their order and ``options.seed`` alone.

    Args:
        runtime: the network; it is not changed.
        options: learning rate, batch and the like.
        phrase: the sequence's phrase, which becomes part of every prompt.
    """

    def __init__(self, runtime: PurifyingRuntime, options: SequenceOptions, phrase: str | None = None) -> None:
        self.runtime, self.options, self.phrase = runtime, options, phrase
        self.initial = runtime.purification_parameters()
        self._encoded: OrderedDict[tuple[bytes, bytes], EncodedExample] = OrderedDict()

    def start(self) -> LearnedState:
        """The state before the first round: the parameters of the weights file."""
        return LearnedState(self.initial, self.initial)

    def rebuild(self, examples: Sequence[StoredExample]) -> LearnedState:
        """Learn from the examples from the start, one round for each, in their order.

        Args:
            examples: all examples, oldest first.
        """
        learned = self.start()
        for count in range(1, len(examples) + 1):
            learned = self.round(learned, examples[:count])
        return learned

    def round(self, learned: LearnedState, examples: Sequence[StoredExample]) -> LearnedState:
        """Learn after an example was added.

        Takes ``options.steps`` gradient steps on the training examples. If the new example is for validation, the
        result is then validated on all validation examples.

        Args:
            learned: the state before; it is not changed.
            examples: all examples, the new one last.

        Returns:
            The state after it.
        """
        training = [example for example in examples if not example.is_validation]
        if not training:
            return replace(learned, rounds=learned.rounds + 1)
        rng = np.random.default_rng((self.options.seed, learned.rounds))
        parameters = dict(learned.parameters)
        velocity: dict[str, FloatArray] = {}
        for _ in range(self.options.steps):
            self._step(parameters, velocity, self._draw_batch(training, rng))
        learned = replace(learned, parameters=parameters, rounds=learned.rounds + 1)
        if not examples[-1].is_validation:
            return learned
        return self._validate(learned, [example for example in examples if example.is_validation])

    def _validate(self, learned: LearnedState, validation: Sequence[StoredExample]) -> LearnedState:
        """Return to earlier parameters if the new ones harm the validation examples.

        These are the better of the last good and the initial ones.
        """
        score = self.score(learned.parameters, validation)
        earlier = {id(parameters): parameters for parameters in (learned.last_good, self.initial)}.values()
        scored = [(self.score(parameters, validation), parameters) for parameters in earlier]
        best_score, best = max(scored, key=lambda entry: entry[0])
        if score >= best_score - MAX_HARM:
            return replace(learned, last_good=learned.parameters)
        return replace(learned, parameters=best, last_good=best, rollbacks=learned.rollbacks + 1)

    def score(self, parameters: Parameters, examples: Sequence[StoredExample]) -> float:
        """Mean IoU after one click, the robot's first one.

        Args:
            parameters: of the purification layer.
            examples: all of their crops are segmented.

        Returns:
            The mean over crops; 0 without examples.
        """
        runtime = self.runtime.with_purification(parameters)
        scores = []
        for webp, png in (crop for example in examples for crop in example.crops):
            encoded = self._encode(webp, png)
            if encoded is not None:
                prompt = Prompt((robot.first_click(encoded.target),), self.phrase)
                mask = runtime.decode(runtime.purify(encoded.features), prompt, None) > 0.0
                scores.append(iou(mask, encoded.target, ~encoded.counted))
        return float(np.mean(scores)) if scores else 0.0

    def _draw_batch(self, examples: Sequence[StoredExample], rng: np.random.Generator) -> list[PromptedExample]:
        """The newest example and random other ones: for each a random one of its crops, with random clicks."""
        indices = [len(examples) - 1, *rng.integers(len(examples), size=self.options.batch - 1)]
        if self.options.augment:
            return [self._draw_augmented(examples[int(index)], rng) for index in indices]
        batch = []
        for crops in (examples[int(index)].crops for index in indices):
            candidates = (self._encode(*crops[int(i)]) for i in rng.permutation(len(crops)))
            encoded = next((candidate for candidate in candidates if candidate is not None), None)
            if encoded is not None:
                batch.append((encoded, Prompt(tuple(self._draw_clicks(encoded, rng)), self.phrase)))
        return batch

    def _draw_augmented(self, example: StoredExample, rng: np.random.Generator) -> PromptedExample:
        """A random crop of an example's whole image, flipped half of the time, with random clicks."""
        image, target, counted = augmented(*decompress(*example.crops[0], self.options.side), rng)
        if not target.any():  # the object has no pixel in the whole image at this size
            image, target, counted = augmented(*decompress(*example.crops[1], self.options.side), rng)
        encoded = self._features_of(image, target, counted)
        return encoded, Prompt(tuple(self._draw_clicks(encoded, rng)), self.phrase)

    def _features_of(self, image: ImageArray, target: BoolArray, counted: BoolArray) -> EncodedExample:
        features = self.runtime.encode(image)
        # Half precision takes half the memory; its rounding is far smaller than the changes by learning.
        raw = tuple(level.astype(np.float16) for level in self.runtime.levels(features, "raw"))
        return EncodedExample(features, raw, target, counted)

    def _encode(self, webp: bytes, png: bytes) -> EncodedExample | None:
        """A stored crop with its features; None when no pixel of the object is left at its size."""
        key = webp, png
        if key not in self._encoded:
            image, target, counted = decompress(webp, png, self.options.side)
            if not target.any():
                return None
            self._encoded[key] = self._features_of(image, target, counted)
            if len(self._encoded) > CACHED_EXAMPLES:
                self._encoded.popitem(last=False)
        self._encoded.move_to_end(key)
        return self._encoded[key]

    def _draw_clicks(self, example: EncodedExample, rng: np.random.Generator) -> list[Click]:
        """Random clicks on an example.

        At least one positive click, and at most ``options.most_positive`` positive and ``options.most_negative``
        negative ones: fewer than in training, to reduce their impact (section 3.3).
        """
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
        for name in gradients[0]:  # batch-norm statistics have no gradient
            gradient = sum(each[name] for each in gradients) / np.float32(len(gradients))
            if self.options.weight_decay:
                gradient = gradient + np.float32(self.options.weight_decay) * parameters[name]
            velocity[name] = np.asarray(self.options.momentum * velocity.get(name, 0.0) + gradient, np.float32)
            parameters[name] = np.asarray(parameters[name] - self.options.rate * velocity[name], np.float32)


def augmented(
    image: ImageArray, target: BoolArray, counted: BoolArray, rng: np.random.Generator
) -> tuple[ImageArray, BoolArray, BoolArray]:
    """A random crop of a square image, resized to the size of the image, flipped half of the time.

    Args:
        image: ``(side, side, 3)`` RGB.
        target: ``(side, side)`` the object.
        counted: ``(side, side)`` which pixels count.
        rng: decides.

    Returns:
        The three in the same shapes. The crop shows a pixel of the object if the image does; the whole image is
        taken where :data:`MAX_TRIES` crops show none.
    """
    side = len(target)
    for _ in range(MAX_TRIES):
        length = max(round(float(rng.uniform(*CROP_SHARES)) * side), 1)
        top, left = (int(rng.integers(side - length + 1)) for _ in range(2))
        rows, columns = slice(top, top + length), slice(left, left + length)
        if target[rows, columns].any():
            break
    else:
        rows = columns = slice(0, side)
    pixels = cv2.resize(image[rows, columns], (side, side), interpolation=cv2.INTER_LINEAR)
    masks = [
        cv2.resize(mask[rows, columns].astype(np.uint8), (side, side), interpolation=cv2.INTER_NEAREST) > 0
        for mask in (target, counted)
    ]
    flip = -1 if rng.integers(2) else 1
    return np.ascontiguousarray(pixels[:, ::flip]), masks[0][:, ::flip].copy(), masks[1][:, ::flip].copy()
