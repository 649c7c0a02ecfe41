"""Many robot users at once: the next clicks of a batch, in the process that trains or in others."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core import robot
from saywhere.core.arrays import BoolArray
from saywhere.core.prompt import Prompt
from saywhere.training.recipe import ClicksRecipe, Recipe


@dataclass(frozen=True)
class CorrectionTarget:
    """What the robots of a batch want: true and uncounted pixels ``(B, H, W)``, who drags, and the crops' numbers."""

    truth: BoolArray
    ignore: BoolArray
    drags: list[bool]
    numbers: list[int]

    @cached_property
    def packed(self) -> NDArray[np.uint8]:
        """``truth`` and ``ignore`` as ``(2, B, H, W / 8)``: what goes to other processes is copied several times."""
        return np.packbits(np.stack([self.truth, self.ignore]), axis=-1)


def corrections(
    wanted: CorrectionTarget, predicted: BoolArray, prompts: Sequence[Prompt], turn: int, recipe: Recipe
) -> list[Prompt]:
    """The prompts of the next round, from masks ``(B, H, W)``; a crop's clicks depend on its number and the round."""
    found = []
    for i, number in enumerate(wanted.numbers):
        rng = np.random.default_rng((recipe.seed, number, 1000 + turn))
        found.append(
            correct(
                prompts[i], wanted.truth[i], predicted[i], wanted.ignore[i], wanted.drags[i], recipe.clicks, rng
            )
        )  # fmt: skip
    return found


def correct(
    prompt: Prompt,
    target: BoolArray,
    predicted: BoolArray,
    ignore: BoolArray,
    drags: bool,
    settings: ClicksRecipe,
    rng: np.random.Generator,
) -> Prompt:
    """The prompt of the next round: a correction added, or none when only the mask is to be refined."""
    if rng.random() < settings.no_new_click_prob:
        return prompt
    if settings.robot != "mixed" or rng.random() < 0.5:
        click = robot.next_click(target, predicted, ignore, drags)
    else:
        click = robot.training_correction(target, predicted, rng, ignore, drags)
    return prompt if click is None else prompt.with_click(click)


class Robots:
    """The same in ``count`` processes of their own, which end with the one that made them, however that ends."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.pool = ProcessPoolExecutor(count, initializer=_begin, initargs=(os.getpid(),))

    def corrections(
        self, wanted: CorrectionTarget, predicted: BoolArray, prompts: Sequence[Prompt], turn: int, recipe: Recipe
    ) -> list[Future[list[Prompt]]]:
        """What :func:`corrections` gives, part by part as each is ready."""
        bounds = np.linspace(0, len(prompts), min(self.count, len(prompts)) + 1).astype(int)
        masks = np.concatenate([wanted.packed, np.packbits(predicted, axis=-1)[None]])
        tasks = []
        for a, b in pairwise(bounds):
            who = wanted.drags[a:b], wanted.numbers[a:b], list(prompts[a:b])
            tasks.append(self.pool.submit(_corrections, masks[:, a:b], predicted.shape[-1], *who, turn, recipe))
        return tasks

    def end(self) -> None:
        self.pool.shutdown()


def _corrections(
    packed: NDArray[np.uint8], width: int, drags: list[bool], numbers: list[int], prompts: list[Prompt],
    turn: int, recipe: Recipe,
) -> list[Prompt]:  # fmt: skip
    truth, ignore, predicted = np.unpackbits(packed, axis=-1, count=width).astype(np.bool_)
    return corrections(CorrectionTarget(truth, ignore, drags, numbers), predicted, prompts, turn, recipe)


def _begin(parent: int) -> None:
    cv2.setNumThreads(0)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
