"""The corrections of many robot users at once, in the process that trains or in others."""

from __future__ import annotations

import os
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
from saywhere.core.processes import end_with_parent
from saywhere.core.prompt import Prompt
from saywhere.training.recipe import Recipe
from saywhere.training.recipe_parts import ClicksRecipe


@dataclass(frozen=True)
class CorrectionTargets:
    """What the robots of a batch compare masks with.

    Attributes:
        target: ``(B, H, W)``, the objects.
        ignore: ``(B, H, W)``, pixels that do not count.
        drags: whether each sample's clicks carry a radius.
        numbers: the samples' numbers in the run.
    """

    target: BoolArray
    ignore: BoolArray
    drags: list[bool]
    numbers: list[int]

    @cached_property
    def packed(self) -> NDArray[np.uint8]:
        """``target`` and ``ignore`` as ``(2, B, H, W / 8)`` bits: what other processes get is copied several times."""
        return np.packbits(np.stack([self.target, self.ignore]), axis=-1)


def corrections(
    targets: CorrectionTargets, predicted: BoolArray, prompts: Sequence[Prompt], turn: int, recipe: Recipe
) -> list[Prompt]:
    """The prompts of the next round.

    Args:
        targets: what the masks should be.
        predicted: ``(B, H, W)``, the masks of this round.
        prompts: the prompts of this round.
        turn: the number of this round. A sample's corrections depend on it and on the sample's number alone.
        recipe: the settings.
    """
    corrected = []
    for i, number in enumerate(targets.numbers):
        rng = np.random.default_rng((recipe.seed, number, 1000 + turn))
        arguments = targets.target[i], predicted[i], targets.ignore[i], targets.drags[i]
        corrected.append(correct(prompts[i], *arguments, recipe.clicks, rng))
    return corrected


def correct(
    prompt: Prompt,
    target: BoolArray,
    predicted: BoolArray,
    ignore: BoolArray,
    drags: bool,
    settings: ClicksRecipe,
    rng: np.random.Generator,
) -> Prompt:
    """A prompt with a correction, or without one when a round is only to refine the mask."""
    if rng.random() < settings.no_new_click_prob:
        return prompt
    if settings.robot != "mixed" or rng.random() < 0.5:
        click = robot.next_click(target, predicted, ignore, drags)
    else:
        click = robot.training_correction(target, predicted, rng, ignore, drags)
    return prompt if click is None else prompt.with_click(click)


class RobotPool:
    """Computes corrections in other processes, which end with the one that started them, however that ends.

    Args:
        count: the number of processes.
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self.executor = ProcessPoolExecutor(count, initializer=_start_process, initargs=(os.getpid(),))

    def corrections(
        self, targets: CorrectionTargets, predicted: BoolArray, prompts: Sequence[Prompt], turn: int, recipe: Recipe
    ) -> list[Future[list[Prompt]]]:
        """As :func:`corrections`, in parts that follow each other."""
        bounds = np.linspace(0, len(prompts), min(self.count, len(prompts)) + 1).astype(int)
        masks = np.concatenate([targets.packed, np.packbits(predicted, axis=-1)[None]])
        tasks = []
        for a, b in pairwise(bounds):
            samples = targets.drags[a:b], targets.numbers[a:b], list(prompts[a:b])
            width = predicted.shape[-1]
            tasks.append(self.executor.submit(_packed_corrections, masks[:, a:b], width, *samples, turn, recipe))
        return tasks

    def close(self) -> None:
        """End the processes."""
        self.executor.shutdown()


def _packed_corrections(
    packed: NDArray[np.uint8], width: int, drags: list[bool], numbers: list[int], prompts: list[Prompt],
    turn: int, recipe: Recipe,
) -> list[Prompt]:  # fmt: skip
    target, ignore, predicted = np.unpackbits(packed, axis=-1, count=width).astype(np.bool_)
    return corrections(CorrectionTargets(target, ignore, drags, numbers), predicted, prompts, turn, recipe)


def _start_process(parent: int) -> None:
    """One thread for OpenCV; and end as soon as the parent has ended."""
    cv2.setNumThreads(0)
    end_with_parent(parent)
