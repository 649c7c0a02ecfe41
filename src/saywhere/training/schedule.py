"""What changes from step to step: learning rate, moving average, batch norms."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from saywhere.training.recipe import OptimiserRecipe

Tensors = tuple[Tensor, ...] | list[Tensor]


def learning_rate(settings: OptimiserRecipe, step: int, done: float) -> float:
    """The learning rate of a step: linear warm-up, then a cosine.

    Args:
        settings: the recipe's.
        step: the number of the step, from 0.
        done: the share of the run that is over, 0 to 1.
    """
    warmup = min((step + 1) / settings.warmup_steps, 1.0) if settings.warmup_steps else 1.0
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
    return settings.lr * warmup * (settings.final_lr_factor + (1.0 - settings.final_lr_factor) * cosine)


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
