"""What a run will take, from one step of each stage: steps, parameters, operations, memory, time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch.utils.flop_counter import FlopCounterMode

from saywhere.core.processes import peak_memory
from saywhere.training.batch import collate
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import launch
from saywhere.training.loop import check_files
from saywhere.training.recipe import Recipe
from saywhere.training.stages import Stage, list_stages, select_stages
from saywhere.training.step import number_of_rounds
from saywhere.training.trainer import Trainer


@dataclass(frozen=True)
class StageCost:
    """What one stage will take.

    Attributes:
        name: of the stage; "" for a recipe without stages.
        steps: as the recipe has them.
        objects: that can be drawn.
        batch: samples of a step.
        parameters: of the network.
        trained: those of them that learn.
        operations: multiply-adds of a step with ``rounds`` rounds, forward and backward: of convolutions and matrix
            products.
        rounds: of clicks, in the step that was made.
        seconds: that this step took, with its samples.
        memory: bytes: on a GPU the most that tensors took, else the most that the process has taken so far.
    """

    name: str
    steps: int
    objects: int
    batch: int
    parameters: int
    trained: int
    operations: int
    rounds: int
    seconds: float
    memory: int


def dry_run(recipe: Recipe, first_stage: str | None = None, last_stage: str | None = None) -> list[StageCost]:
    """Make one step of each stage, and write nothing.

    Weights that an earlier stage would give are not there: each stage begins as it would alone, with the same shapes.

    Args:
        recipe: the recipe.
        first_stage, last_stage: as for :func:`saywhere.training.loop.train`.

    Raises:
        SaywhereError: a file is missing, or there is no such stage.
    """
    stages: Sequence[Stage] = select_stages(list_stages(recipe), first_stage, last_stage)
    for stage in stages:
        check_files(stage.recipe)
    return [_cost(stage) for stage in stages]


def _cost(stage: Stage, start: Path | None = None) -> StageCost:
    recipe = stage.recipe
    fabric = launch(recipe)
    crops = CropDataset(recipe)
    trainer = Trainer(recipe, fabric, crops, start)
    on_gpu = fabric.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(fabric.device)
    began = time.perf_counter()
    try:
        batch = collate([crops[number] for number in range(max(recipe.batch // fabric.world_size, 1))])
        with FlopCounterMode(display=False) as counter:
            trainer.learn(batch, 0.0)
    finally:
        trainer.close()
    seconds = time.perf_counter() - began
    parameters = list(trainer.model.parameters())
    return StageCost(
        name=stage.name, steps=recipe.steps, objects=len(crops.targets), batch=recipe.batch,
        parameters=sum(p.numel() for p in parameters), trained=sum(p.numel() for p in parameters if p.requires_grad),
        operations=counter.get_total_flops() // 2, rounds=number_of_rounds(batch, recipe), seconds=seconds,
        memory=torch.cuda.max_memory_allocated(fabric.device) if on_gpu else peak_memory(),
    )  # fmt: skip
