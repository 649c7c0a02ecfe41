"""Online purification optimisation: finished masks teach the purification layer, and nothing else, what is meant.

Sequential Interactive Image Segmentation, section 3.3. Needs torch.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from saywhere.core import robot
from saywhere.core.arrays import BoolArray
from saywhere.core.metrics import iou
from saywhere.core.prompt import Click, Prompt
from saywhere.interactive.sequence.memory import LearnedState, Parameters, StoredExample, unpacked
from saywhere.interactive.sequence.options import SequenceOptions
from saywhere.models.base import Features, PurifyingModel
from saywhere.models.losses import bce
from saywhere.runtime.torch import bfloat16_pays, with_own_purification

KEPT = 24  # pictures whose features stay in memory, 2 MB each
HARM = 0.01  # mean IoU of the is_validation-out masks that a step may cost before it is taken back


@dataclass(frozen=True)
class EncodedExample:
    """What is learned from: a picture's ``raw`` levels, which learning does not change, its mask and what counts."""

    raw: tuple[torch.Tensor, ...]
    target: BoolArray
    counted: BoolArray


PromptedExample = tuple[EncodedExample, Prompt]


class PurificationLearner:
    """Learns from examples. It has a purification layer of its own and shares the rest of the network, which others may
    use at the same time. What it learns depends on the examples, their order and ``options.seed`` alone.

    ``phrase`` is said with every example, where the sequence says one.
    """

    def __init__(self, model: PurifyingModel, options: SequenceOptions, phrase: str | None = None) -> None:
        self.model, self.options, self.phrase = with_own_purification(model), options, phrase
        self.model.purification.requires_grad_(True)
        self.device = next(model.parameters()).device
        self.shipped = self._parameters()
        self._bf16 = bfloat16_pays(self.device)
        self._pictures: OrderedDict[tuple[bytes, bytes], EncodedExample] = OrderedDict()

    def start(self) -> LearnedState:
        """As the network ships."""
        return LearnedState(self.shipped, self.shipped)

    def rebuild(self, examples: Sequence[StoredExample]) -> LearnedState:
        """What the examples, in their order, teach from the start: nothing of any other is left."""
        learned = self.start()
        for count in range(1, len(examples) + 1):
            learned = self.round(learned, examples[:count])
        return learned

    def round(self, learned: LearnedState, examples: Sequence[StoredExample]) -> LearnedState:
        """Some steps on the examples that are not is_validation out, the last of which is new; checked when a new one
        is."""
        used = [one for one in examples if not one.is_validation]
        if not used:
            return replace(learned, rounds=learned.rounds + 1)
        self._load(learned.parameters)
        layer = self.model.purification
        optimiser = torch.optim.SGD(layer.parameters(), self.options.rate, self.options.momentum)
        rng = np.random.default_rng((self.options.seed, learned.rounds))
        for _ in range(self.options.steps):
            self._step(optimiser, self._draw(used, rng))
        learned = replace(learned, parameters=self._parameters(), rounds=learned.rounds + 1)
        return (
            self._guarded(learned, [one for one in examples if one.is_validation])
            if examples[-1].is_validation
            else learned
        )

    def _guarded(self, learned: LearnedState, validation: Sequence[StoredExample]) -> LearnedState:
        """What was learned, if it serves the is_validation-out masks; else the better of what last did and the
        shipped layer."""
        now = self.score(learned.parameters, validation)
        past = [(self.score(p, validation), p) for p in {id(p): p for p in (learned.good, self.shipped)}.values()]
        best, better = max(past, key=lambda one: one[0])
        if now >= best - HARM:
            return replace(learned, good=learned.parameters)
        return replace(learned, parameters=better, good=better, back=learned.back + 1)

    def score(self, parameters: Parameters, examples: Sequence[StoredExample]) -> float:
        """Mean IoU of the masks after one click, at the centre of each."""
        self._load(parameters)
        scores = []
        for packed in (packed for one in examples for packed in one.pictures):
            picture = self._picture(*packed)
            if picture is not None:
                prompt = Prompt((robot.first_click(picture.target),), self.phrase)
                with torch.no_grad():
                    found = self._answer([(picture, prompt)])[0, 0].cpu().numpy() > 0.0
                scores.append(iou(found, picture.target, ~picture.counted))
        return float(np.mean(scores)) if scores else 0.0

    def _draw(self, examples: Sequence[StoredExample], rng: np.random.Generator) -> list[PromptedExample]:
        """The newest example and some others, each seen whole or close, with clicks as a person might give them."""
        picks = [len(examples) - 1, *rng.integers(len(examples), size=self.options.batch - 1)]
        drawn = []
        for shown in (examples[int(pick)].pictures for pick in picks):
            seen = (self._picture(*shown[int(i)]) for i in rng.permutation(len(shown)))
            picture = next((picture for picture in seen if picture is not None), None)
            if picture is not None:
                drawn.append((picture, Prompt(tuple(self._clicks(picture, rng)), self.phrase)))
        return drawn

    def _picture(self, photo: bytes, mask: bytes) -> EncodedExample | None:
        """A example's picture as the network's encoder sees it; None where nothing of the object is left in it."""
        key = photo, mask
        if key not in self._pictures:
            pixels, target, counted = unpacked(photo, mask, self.options.side)
            if not target.any():
                return None
            with torch.no_grad(), self._fast():
                image = torch.from_numpy(pixels).to(self.device).permute(2, 0, 1)[None]
                raw = self.model.encode(image.float().div_(255.0)).levels["raw"]
            # Half the memory, and far finer than what learning changes.
            self._pictures[key] = EncodedExample(tuple(level.half() for level in raw), target, counted)
            if len(self._pictures) > KEPT:
                self._pictures.popitem(last=False)
        self._pictures.move_to_end(key)
        return self._pictures[key]

    def _fast(self) -> torch.autocast:
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self._bf16)

    def _clicks(self, picture: EncodedExample, rng: np.random.Generator) -> list[Click]:
        """1 to 5 on the object and 0 to 5 off it: fewer than in training, to reduce their impact (section 3.3)."""
        target = picture.target
        positive = robot.positive_clicks(target, int(rng.integers(1, self.options.most_positive + 1)), rng)
        strategy = ("rim", "anywhere")[int(rng.integers(2))]
        count = int(rng.integers(0, self.options.most_negative + 1))
        negative = robot.negative_clicks(target, count, rng, strategy)
        return positive + [click for click in negative if picture.counted[int(click.y), int(click.x)]]

    def _step(self, optimiser: torch.optim.Optimizer, examples: Sequence[PromptedExample]) -> None:
        """One step down the binary cross-entropy, with gradients for the purification layer alone."""
        if not examples:
            return
        parameters = list(self.model.purification.parameters())
        logits = self._answer(examples)
        target = _stack([picture.target for picture, _ in examples]).to(logits)
        counted = _stack([picture.counted for picture, _ in examples]).to(logits)
        gradients = torch.autograd.grad(bce(logits, target, counted).mean(), parameters, allow_unused=True)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()

    def _answer(self, examples: Sequence[PromptedExample]) -> torch.Tensor:
        """Logits ``(B, 1, S, S)``; only the purification layer and what follows it are differentiated."""
        levels = zip(*(picture.raw for picture, _ in examples), strict=True)
        together = (torch.cat([level.float() for level in some]) for some in levels)
        raw = tuple(level.contiguous(memory_format=torch.channels_last) for level in together)
        with self._fast():
            features = self.model.purify(Features((self.options.side, self.options.side), {"raw": raw}))
            return self.model.decode(features, [prompt for _, prompt in examples], None).float()

    def _parameters(self) -> Parameters:
        state = self.model.purification.state_dict()
        return {name: value.detach().cpu().numpy().copy() for name, value in state.items()}

    def _load(self, parameters: Parameters) -> None:
        self.model.purification.load_state_dict({name: torch.from_numpy(v) for name, v in parameters.items()})


def _stack(masks: Sequence[BoolArray]) -> torch.Tensor:
    return torch.from_numpy(np.stack(masks))[:, None]
