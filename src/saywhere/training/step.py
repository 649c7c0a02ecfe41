"""What a step learns from: a batch is encoded once and answers several rounds of clicks.

After each round the robot looks at the network's own mask and corrects it (iterative training, Mahadevan et al. 2018,
as the DCT-Net and sequential papers use it).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor
from torch.nn import functional as F

from saywhere.models import losses
from saywhere.models.base import InteractiveModel
from saywhere.text.words import Words
from saywhere.training.batch import Batch
from saywhere.training.corrections import CorrectionTarget, Robots, corrections
from saywhere.training.recipe import Recipe


def interleave(sources: Sequence[Iterator[Tensor | None]]) -> Iterator[Tensor]:
    """All losses of all sources, which go on one after another; one that gives None waits for something."""
    going = list(sources)
    while going:
        for source in list(going):
            try:
                loss = next(source)
            except StopIteration:
                going.remove(source)
                continue
            if loss is not None:
                yield loss


def step_losses(
    network: InteractiveModel, batch: Batch, recipe: Recipe, fabric: Fabric, labels: Words, robots: Robots | None = None
) -> Iterator[Tensor | None]:
    """What a step learns from, one loss after another: the mean over its rounds, or that of each round.

    Each round's clicks answer the mask of the round before. When the network learns after every round, the photographs
    are encoded anew for the next. With ``robots`` it gives None where it would wait: for the device, and for clicks.
    """
    device = fabric.device
    image = batch.image.to(device, non_blocking=True).float().div_(255.0).contiguous(memory_format=torch.channels_last)
    target = batch.target.to(device, non_blocking=True).float()
    counted = 1.0 - batch.ignore.to(device, non_blocking=True).float()
    wanted = CorrectionTarget(
        batch.target[:, 0].numpy() > 0, batch.ignore[:, 0].numpy() > 0, batch.drags, batch.numbers
    )
    each = recipe.clicks.update_each
    with fabric.autocast():
        features = network.encode(image)
    prompts, previous = list(batch.prompts), None
    total = torch.zeros((), device=device)
    # Most of a step is rounds: one to the most, drawn alike, shows more photographs in the same time. All processes
    # draw the same for a step, or they would wait for each other.
    first = batch.numbers[0] - batch.numbers[0] % recipe.batch
    rounds = 1 + int(np.random.default_rng((recipe.seed, first, 3000)).integers(recipe.clicks.rounds))
    for turn in range(rounds):
        with fabric.autocast():
            logits = network.decode(features, prompts, previous).float()
        loss = losses.total(recipe.loss, logits, target, counted)
        total = total + loss / rounds
        last = turn + 1 == rounds
        if each or last:
            with fabric.autocast():
                auxiliary = network.auxiliary_loss(features, prompts, batch.supervision, labels)
            yield (loss if each else total) + auxiliary.to(total)
        if last:
            break
        previous = logits.detach().sigmoid()
        predicted = previous[:, 0] > 0.5
        if robots is None:
            prompts = corrections(wanted, predicted.cpu().numpy(), prompts, turn, recipe)
        else:
            yield None
            awaited = robots.corrections(wanted, predicted.cpu().numpy(), prompts, turn, recipe)
            yield None
            prompts = [prompt for some in awaited for prompt in some.result()]
        previous = coarsen_mask(previous, batch.numbers, turn, recipe)
        if each:
            with fabric.autocast():
                features = network.encode(image)


def coarsen_mask(previous: Tensor, numbers: list[int], turn: int, recipe: Recipe) -> Tensor:
    """Some previous masks as they come from a coarser look at the photograph, or not at all."""
    draws = torch.from_numpy(np.random.default_rng((recipe.seed, numbers[0], 2000 + turn)).random(len(numbers)))
    blurred = F.interpolate(F.avg_pool2d(previous, 4), scale_factor=4, mode="bilinear", align_corners=False)
    settings = recipe.clicks
    pick = draws.to(previous.device, non_blocking=True)[:, None, None, None]
    shown = torch.where(pick < settings.coarse_previous_prob * (1.0 - settings.no_previous_prob), blurred, previous)
    return torch.where(pick >= 1.0 - settings.no_previous_prob, torch.zeros_like(previous), shown)
