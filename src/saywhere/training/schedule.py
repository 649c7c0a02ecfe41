"""What changes from step to step: learning rate, moving average, batch norms."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim import lr_scheduler
from torch.optim.swa_utils import get_ema_multi_avg_fn

from saywhere.training.recipe_parts import OptimiserRecipe, ScheduleRecipe

Tensors = tuple[Tensor, ...] | list[Tensor]


class LearningRate:
    """The learning rate of every step of a run: a linear warm-up, times the recipe's schedule.

    The schedule is one of torch.optim.lr_scheduler over the run's planned steps. A run with a time limit goes through
    it by the share of its time that is over, however many steps it makes.

    Args:
        settings: the recipe's.
        steps: the planned steps of the run.
        epoch_steps: steps of an epoch.
    """

    def __init__(self, settings: OptimiserRecipe, steps: int, epoch_steps: float) -> None:
        self.settings, self.steps, self.epoch_steps = settings, steps, epoch_steps
        self._restart()

    def at(self, step: int, done: float) -> float:
        """The learning rate of a step.

        Args:
            step: the number of the step, from 0.
            done: the share of the run that is over, 0 to 1.
        """
        warmup_steps = self.settings.warmup_steps
        warmup = min((step + 1) / warmup_steps, 1.0) if warmup_steps else 1.0
        planned = min(done, 1.0) * self.steps
        position = int(planned / self._unit + 1e-6)  # a share of the run is not exact
        if position < self._scheduler.last_epoch:
            self._restart()
        for _ in range(position - self._scheduler.last_epoch):
            self._optimiser.step()
            self._scheduler.step()
        factor = self._scheduler.get_last_lr()[0]
        if self.settings.schedule.name == "polynomial":
            factor = self.settings.final_lr_factor + (1.0 - self.settings.final_lr_factor) * float(factor)
        return self.settings.lr * warmup * float(factor)

    def _restart(self) -> None:
        # The schedule of a learning rate of 1, which is multiplied with the recipe's and with each parameter group's.
        self._optimiser = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        self._scheduler, self._unit = _scheduler(
            self._optimiser, self.settings.schedule, self.settings.final_lr_factor, self.steps, self.epoch_steps
        )


def _scheduler(
    optimiser: torch.optim.Optimizer, schedule: ScheduleRecipe, final: float, steps: int, epoch_steps: float
) -> tuple[lr_scheduler.LRScheduler, float]:
    """A schedule of torch, and the number of steps after which it is told to go on."""
    if schedule.name == "cosine":
        return lr_scheduler.CosineAnnealingLR(optimiser, steps, eta_min=final), 1.0
    if schedule.name == "step":
        unit = epoch_steps if schedule.unit == "epochs" else 1.0
        return lr_scheduler.StepLR(optimiser, schedule.period, schedule.factor), unit
    if schedule.name == "exponential":
        return lr_scheduler.ExponentialLR(optimiser, schedule.factor), epoch_steps
    if schedule.name == "polynomial":
        return lr_scheduler.PolynomialLR(optimiser, steps, schedule.power), 1.0
    return lr_scheduler.ConstantLR(optimiser, factor=1.0), 1.0


def moving_average(max_decay: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An exponential moving average for torch's AveragedModel.

    The decay of update n is ``(1 + n) / (10 + n)``, at most ``max_decay``: the initial weights are forgotten fast, so
    that the average is of use from the beginning. Whole numbers are copied.
    """

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        decay = min(max_decay, (1.0 + int(count)) / (10.0 + int(count)))
        if averaged[0].is_floating_point():  # all tensors of one call have the same type
            get_ema_multi_avg_fn(decay)(averaged, current, count)
        else:
            for kept, new in zip(averaged, current, strict=True):
                kept.copy_(new)

    return update


def freeze_batch_norm(model: nn.Module, everywhere: bool = False) -> None:
    """Put batch norms that are not trained, or all of them, into evaluation mode, so that they keep their statistics.

    Args:
        model: a network in training mode.
        everywhere: whether all batch norms keep their statistics.
    """
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and (
            everywhere or not any(p.requires_grad for p in module.parameters())
        ):
            module.eval()


def running_statistics(model: nn.Module) -> list[Tensor]:
    """The running means and variances that a step changes: those of batch norms in training mode."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) and m.training]
    return [each for norm in norms for each in (norm.running_mean, norm.running_var) if each is not None]
