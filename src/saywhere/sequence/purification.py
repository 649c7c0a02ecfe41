"""Online purification optimisation: finished masks teach the purification layer, and nothing else, what is meant.

Sequential Interactive Image Segmentation, section 3.3. Needs torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

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
class Picture:
    """What is learned from: a picture's ``raw`` levels, which learning does not change, its mask and what counts."""

    raw: tuple[torch.Tensor, ...]
    target: BoolMask
    counted: BoolMask


Example = tuple[Picture, Prompt]


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
        self._pictures: dict[int, list[Picture]] = {}

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
        self._pictures = {
            number: self._pictures[number] for number in self._pictures.keys() & {o.number for o in lessons}
        }
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
        scores = []
        for picture in (picture for one in lessons for picture in self._seen(one)):
            prompt = Prompt((robot.first_click(picture.target),), self.phrase)
            with torch.no_grad():
                found = self._answer([(picture, prompt)])[0, 0].cpu().numpy() > 0.0
            scores.append(iou(found, picture.target, ~picture.counted))
        return float(np.mean(scores)) if scores else 0.0

    def _draw(self, lessons: Sequence[Lesson], rng: np.random.Generator) -> list[Example]:
        """The newest lesson and some others, each seen whole or close, with clicks as a person might give them."""
        picks = [len(lessons) - 1, *rng.integers(len(lessons), size=self.options.batch - 1)]
        examples = []
        for pictures in (self._seen(lessons[int(pick)]) for pick in picks):
            if pictures:
                picture = pictures[int(rng.integers(len(pictures)))]
                examples.append((picture, Prompt(tuple(self._clicks(picture, rng)), self.phrase)))
        return examples

    def _seen(self, lesson: Lesson) -> list[Picture]:
        """A lesson's pictures as the network's encoder sees them, but those in which nothing of the object is left."""
        if lesson.number not in self._pictures:
            self._pictures[lesson.number] = []
            for packed in lesson.pictures:
                photo, target, counted = unpacked(*packed, self.options.side)
                with torch.no_grad():
                    image = torch.from_numpy(photo).to(self.device).permute(2, 0, 1)[None]
                    raw = self.model.encode(image.float().div_(255.0)).levels["raw"]
                if target.any():
                    # Half the memory, and far finer than what learning changes.
                    self._pictures[lesson.number].append(Picture(tuple(level.half() for level in raw), target, counted))
        return self._pictures[lesson.number]

    def _clicks(self, picture: Picture, rng: np.random.Generator) -> list[Click]:
        """1 to 5 on the object and 0 to 5 off it: fewer than in training, to reduce their impact (section 3.3)."""
        target = picture.target
        positive = robot.positive_clicks(target, int(rng.integers(1, self.options.most_positive + 1)), rng)
        strategy = ("rim", "anywhere")[int(rng.integers(2))]
        count = int(rng.integers(0, self.options.most_negative + 1))
        negative = robot.negative_clicks(target, count, rng, strategy)
        return positive + [click for click in negative if picture.counted[int(click.y), int(click.x)]]

    def _step(self, optimiser: torch.optim.Optimizer, examples: Sequence[Example]) -> None:
        """One step down the binary cross-entropy, with gradients for the purification layer alone."""
        if not examples:
            return
        parameters = list(self.model.purification.parameters())
        logits = self._answer(examples)
        target = _stack([picture.target for picture, _ in examples]).to(logits)
        counted = _stack([picture.counted for picture, _ in examples]).to(logits)
        gradients = torch.autograd.grad(bce(logits, target, counted).mean(), parameters)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        optimiser.step()

    def _answer(self, examples: Sequence[Example]) -> torch.Tensor:
        """Logits ``(B, 1, S, S)``; only the purification layer and what follows it are differentiated."""
        levels = zip(*(picture.raw for picture, _ in examples), strict=True)
        raw = tuple(torch.cat(some).float().contiguous(memory_format=torch.channels_last) for some in levels)
        features = self.model.purify(Features((self.options.side, self.options.side), {"raw": raw}))
        return self.model.decode(features, [prompt for _, prompt in examples], None)

    def _parameters(self) -> Parameters:
        state = self.model.purification.state_dict()
        return {name: value.detach().cpu().numpy().copy() for name, value in state.items()}

    def _load(self, parameters: Parameters) -> None:
        self.model.purification.load_state_dict({name: torch.from_numpy(v) for name, v in parameters.items()})


def _stack(masks: Sequence[BoolMask]) -> torch.Tensor:
    return torch.from_numpy(np.stack(masks))[:, None]
