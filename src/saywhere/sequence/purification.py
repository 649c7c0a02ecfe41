"""Online purification optimisation: finished masks teach the purification layer, and nothing else, what is meant.

Sequential Interactive Image Segmentation, section 3.3. Needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from saywhere import robot
from saywhere.metrics import iou
from saywhere.models.base import Features, PurifyingModel
from saywhere.models.runner import with_own_purification
from saywhere.prompt import Click, Prompt
from saywhere.sequence.memory import BoolMask, Learned, Lesson, Parameters, unpacked
from saywhere.sequence.options import Options
from saywhere.training.losses import bce

HARM = 0.01  # mean IoU of the held-out masks that a step may cost before it is taken back


@dataclass(frozen=True)
class Example:
    """A picture ``(S, S, 3)`` with its mask, what counts of it, and what is said of it."""

    photo: NDArray[np.uint8]
    target: BoolMask
    counted: BoolMask
    prompt: Prompt


class Learner:
    """Learns from lessons. It has a purification layer of its own and shares the rest of the network, which others may
    use at the same time. What it learns depends on the lessons, their order and ``options.seed`` alone.

    ``phrase`` is said with every example, where the sequence says one.
    """

    def __init__(self, model: PurifyingModel, options: Options, phrase: str | None = None) -> None:
        self.model, self.options, self.phrase = with_own_purification(model), options, phrase
        self.model.purification.requires_grad_(True)
        self.device = next(model.parameters()).device
        self.shipped = self._parameters()

    def start(self) -> Learned:
        """As the network ships."""
        return Learned(self.shipped, self.shipped)

    def rebuild(self, lessons: Sequence[Lesson]) -> Learned:
        """What the lessons, in their order, teach from the start: nothing of any other is left."""
        learned = self.start()
        for count in range(1, len(lessons) + 1):
            learned = self.round(learned, lessons[:count])
        return learned

    def round(self, learned: Learned, lessons: Sequence[Lesson]) -> Learned:
        """Some steps on the lessons that are not held out, the last of which is new; checked when a new one is."""
        used = [one for one in lessons if not one.held]
        if not used:
            return replace(learned, rounds=learned.rounds + 1)
        self._load(learned.parameters)
        layer = self.model.purification
        optimiser = torch.optim.SGD(layer.parameters(), self.options.rate, self.options.momentum)
        rng = np.random.default_rng((self.options.seed, learned.rounds))
        for _ in range(self.options.steps):
            self._step(optimiser, self._draw(used, rng))
        learned = replace(learned, parameters=self._parameters(), rounds=learned.rounds + 1)
        return self._guarded(learned, [one for one in lessons if one.held]) if lessons[-1].held else learned

    def _guarded(self, learned: Learned, held: Sequence[Lesson]) -> Learned:
        """What was learned, if it serves the held-out masks; else the better of what last did and the shipped layer."""
        now = self.score(learned.parameters, held)
        past = [(self.score(p, held), p) for p in {id(p): p for p in (learned.good, self.shipped)}.values()]
        best, better = max(past, key=lambda one: one[0])
        if now >= best - HARM:
            return replace(learned, good=learned.parameters)
        return replace(learned, parameters=better, good=better, back=learned.back + 1)

    def score(self, parameters: Parameters, lessons: Sequence[Lesson]) -> float:
        """Mean IoU of the masks after one click, at the centre of each."""
        self._load(parameters)
        examples = []
        for one in lessons:
            for picture in one.pictures:
                photo, target, counted = unpacked(*picture, self.options.side)
                if target.any():
                    examples.append(Example(photo, target, counted, Prompt((robot.first_click(target),), self.phrase)))
        with torch.no_grad():
            found = [self._answer([example])[0, 0].cpu().numpy() > 0.0 for example in examples]
        scores = [iou(mask, e.target, ~e.counted) for mask, e in zip(found, examples, strict=True)]
        return float(np.mean(scores)) if scores else 0.0

    def _draw(self, lessons: Sequence[Lesson], rng: np.random.Generator) -> list[Example]:
        """The newest lesson and some others, each seen whole or close, with clicks as a person might give them."""
        picks = [len(lessons) - 1, *rng.integers(len(lessons), size=self.options.batch - 1)]
        examples = []
        for pick in picks:
            pictures = lessons[int(pick)].pictures
            photo, target, counted = unpacked(*pictures[int(rng.integers(len(pictures)))], self.options.side)
            if target.any():
                if rng.random() < 0.5:
                    photo, target, counted = (np.ascontiguousarray(part[:, ::-1]) for part in (photo, target, counted))
                prompt = Prompt(tuple(self._clicks(target, counted, rng)), self.phrase)
                examples.append(Example(photo, target, counted, prompt))
        return examples

    def _clicks(self, target: BoolMask, counted: BoolMask, rng: np.random.Generator) -> list[Click]:
        """1 to 5 on the object and 0 to 5 off it: fewer than in training, "to reduce the impact of interaction points"."""
        positive = robot.positive_clicks(target, int(rng.integers(1, self.options.most_positive + 1)), rng)
        strategy = ("rim", "anywhere")[int(rng.integers(2))]
        count = int(rng.integers(0, self.options.most_negative + 1))
        negative = robot.negative_clicks(target, count, rng, strategy)
        return positive + [click for click in negative if counted[int(click.y), int(click.x)]]

    def _step(self, optimiser: torch.optim.Optimizer, examples: Sequence[Example]) -> None:
        """One step down the binary cross-entropy, with gradients for the purification layer alone."""
        if not examples:
            return
        parameters = list(self.model.purification.parameters())
        logits = self._answer(examples)
        target = _stack([e.target for e in examples]).to(logits)
        counted = _stack([e.counted for e in examples]).to(logits)
        gradients = torch.autograd.grad(bce(logits, target, counted).mean(), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()

    def _answer(self, examples: Sequence[Example]) -> torch.Tensor:
        """Logits ``(B, 1, S, S)``; only the purification layer and what follows it are differentiated."""
        with torch.no_grad():
            image = torch.from_numpy(np.stack([e.photo for e in examples])).to(self.device)
            seen = self.model.encode(image.permute(0, 3, 1, 2).float().div_(255.0))
        features = self.model.purify(Features(seen.size, {"raw": seen.levels["raw"]}))
        return self.model.decode(features, [e.prompt for e in examples], None)

    def _parameters(self) -> Parameters:
        state = self.model.purification.state_dict()
        return {name: value.detach().cpu().numpy().copy() for name, value in state.items()}

    def _load(self, parameters: Parameters) -> None:
        self.model.purification.load_state_dict({name: torch.from_numpy(v) for name, v in parameters.items()})


def _stack(masks: Sequence[BoolMask]) -> torch.Tensor:
    return torch.from_numpy(np.stack(masks))[:, None]
