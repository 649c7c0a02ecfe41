"""The learning-rate range test: the loss while the learning rate grows from step to step.

Source: Smith, Cyclical Learning Rates for Training Neural Networks (WACV 2017), section 3.3; the suggestion is the rate
at which the smoothed loss falls fastest, as in fastai.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from rich.console import Console

from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import launch
from saywhere.training.loader import loader
from saywhere.training.loop import check_files
from saywhere.training.progress import progress_bar
from saywhere.training.recipe import Recipe
from saywhere.training.schedule import LearningRate
from saywhere.training.trainer import Trainer

STEPS = 80
LOWEST, HIGHEST = 1e-6, 1.0
SMOOTHING = 0.9  # of an exponential moving average over the steps
DIVERGED = 2.0  # times the lowest smoothed loss: then it ends
SKIPPED = 5  # steps at each end that are not suggested: the average has just begun, or the loss diverges


class RangeTest(LearningRate):
    """A learning rate that grows by the same factor at every step.

    Args:
        lowest, highest: at the first and at the last step.
        steps: their number.
    """

    def __init__(self, lowest: float, highest: float, steps: int) -> None:
        self.rates = np.geomspace(lowest, highest, steps)

    def at(self, step: int, done: float) -> float:
        """The learning rate of a step."""
        return float(self.rates[min(step, len(self.rates) - 1)])


@dataclass(frozen=True)
class RangeTestResult:
    """What a range test saw.

    Attributes:
        rates: learning rates.
        losses: smoothed losses.
        suggestion: a learning rate for the recipe's ``optimiser.lr``.
    """

    rates: Sequence[float]
    losses: Sequence[float]
    suggestion: float


def find_lr(
    recipe: Recipe, out: Path, start: Path | None = None, steps: int = STEPS, console: Console | None = None
) -> RangeTestResult:
    """Run the range test on a recipe without stages, and write ``find-lr.json``.

    No checkpoint and no weights are written.

    Args:
        recipe: the settings of one run.
        out: the folder of the run.
        start: the weights to start from, instead of those that the recipe names.
        steps: at most so many; the test ends where the loss diverges.
        console: where progress is shown.

    Returns:
        The curve and a suggestion.

    Raises:
        SaywhereError: a file is missing, or the loss diverges at once.
    """
    check_files(recipe)
    fabric = launch(recipe)
    torch.manual_seed(recipe.seed)
    crops = CropDataset(recipe)
    trainer = Trainer(recipe, fabric, crops, start)
    trainer.learning_rate = RangeTest(LOWEST, HIGHEST, steps)
    raw: list[float] = []
    smoothed: list[float] = []
    with progress_bar(console or Console(quiet=True), True) as progress:
        bar = progress.add_task("range test", total=steps, status="")
        try:
            for batch in islice(loader(crops, 0, fabric), steps):
                try:
                    raw.append(trainer.learn(batch, 0.0))
                except SaywhereError:  # the loss is not finite any more
                    break
                smoothed = smooth(raw)
                progress.update(bar, advance=1, status=f"loss {smoothed[-1]:.4f}")
                if smoothed[-1] > DIVERGED * min(smoothed):
                    break
        finally:
            trainer.close()
    rates = [float(rate) for rate in trainer.learning_rate.rates[: len(smoothed)]]
    result = RangeTestResult(rates, smoothed, suggest(rates, smoothed))
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "find-lr.json", (json.dumps(vars(result)) + "\n").encode())
    return result


def smooth(losses: Sequence[float]) -> list[float]:
    """The exponential moving average of losses, corrected for its beginning.

    Example:
        >>> smooth([2.0, 2.0])
        [2.0, 2.0]
    """
    average, means = 0.0, []
    for number, loss in enumerate(losses, 1):
        average = SMOOTHING * average + (1.0 - SMOOTHING) * loss
        means.append(average / (1.0 - SMOOTHING**number))
    return means


def suggest(rates: Sequence[float], losses: Sequence[float]) -> float:
    """The learning rate at which the loss falls fastest by the logarithm of the rate.

    Args:
        rates: growing.
        losses: smoothed, one for each.

    Raises:
        SaywhereError: there are too few, or the loss never falls.
    """
    if len(losses) < 2 * SKIPPED + 2:
        raise SaywhereError(
            f"range test: the loss diverged after {len(losses)} steps; see the recipe's data and weights"
        )
    slopes = np.gradient(np.asarray(losses), np.log(np.asarray(rates)))[SKIPPED:-SKIPPED]
    best = int(np.argmin(slopes))
    if not math.isfinite(slopes[best]) or slopes[best] >= 0.0:
        raise SaywhereError("range test: the loss falls at no learning rate; more samples in a batch may help")
    return float(f"{rates[SKIPPED + best]:.1e}")
