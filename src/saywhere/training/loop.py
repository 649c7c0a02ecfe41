"""The one training loop, on whatever device Lightning Fabric finds; rounds.py has what a step learns from.

A run that is killed goes on from its last checkpoint: model, average, optimiser, step, time and random state are
there, and crop n depends on the seed and n alone.
"""

from __future__ import annotations

import atexit
import json
import logging
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import nn

from saywhere.data.datasets import locate, locate_data
from saywhere.errors import SaywhereError
from saywhere.runtime.torch import bfloat16_pays
from saywhere.training.dataset import CropDataset
from saywhere.training.loader import loader
from saywhere.training.pretrained import find_pretrained
from saywhere.training.recipe import Recipe
from saywhere.training.trainer import Trainer, learning_rate

CHECKPOINT, WEIGHTS, LOG = "checkpoint.safetensors", "weights.safetensors", "log.jsonl"
LOG_STEPS = 50
Validate = Callable[[nn.Module], dict[str, float]]


def precision_for(device: torch.device, wish: str) -> Literal["32-true", "bf16-mixed"]:
    """Lightning's name of the precision: bfloat16 where the device computes in it, else float32."""
    if wish == "auto":
        wish = "bf16" if bfloat16_pays(device) else "32"
    return "bf16-mixed" if wish == "bf16" else "32-true"


class IntervalTimer:
    """True once in so many minutes."""

    def __init__(self, minutes: float) -> None:
        self.seconds, self.last = 60.0 * minutes, time.monotonic()

    def due(self) -> bool:
        if time.monotonic() - self.last < self.seconds:
            return False
        self.last = time.monotonic()
        return True


def train(
    recipe: Recipe,
    out: Path,
    time_limit: float | None = None,
    resume: bool = False,
    validate: Validate | None = None,
    console: Console | None = None,
) -> Path:
    """Train a recipe's network; returns the file of its averaged weights.

    ``time_limit`` (seconds, all resumed parts together) stretches the schedule over that time instead of over
    the recipe's steps. Raises SaywhereError when ``out`` holds a run and ``resume`` is not set, or the reverse.
    """
    console = console or Console()
    checkpoint = out / CHECKPOINT
    refuse(recipe, checkpoint, resume)
    fabric = launch(recipe)
    console.quiet = console.quiet or not fabric.is_global_zero
    drawn = CropDataset(recipe)
    torch.manual_seed(recipe.seed)  # all processes begin with the same network
    trainer = Trainer(recipe, fabric, drawn)
    if resume:
        trainer.load(checkpoint)
    if not fabric.is_global_zero:
        torch.manual_seed(recipe.seed + fabric.global_rank)
    crops = loader(drawn, trainer.step, fabric)
    told = f"training on {fabric.world_size} x {fabric.device.type} in {precision_for(fabric.device, recipe.precision)}"
    console.print(f"{told}, into {out}", highlight=False)
    out.mkdir(parents=True, exist_ok=True)

    started = time.monotonic() - trainer.seconds
    save_due = IntervalTimer(recipe.checkpoint_minutes)
    validation_due = IntervalTimer(recipe.validation.every_minutes if recipe.validation else math.inf)
    recent: list[float] = []
    with progress_bar(console, fabric.is_global_zero) as progress:
        bar = progress.add_task("training", total=1.0, facts="")
        for batch in crops:
            trainer.seconds = time.monotonic() - started
            done = trainer.step / recipe.steps if time_limit is None else trainer.seconds / time_limit
            # One clock for all processes: none must leave while another waits for it.
            done = fabric.broadcast(done)
            if done >= 1.0:
                break
            recent.append(trainer.learn(batch, done))
            progress.update(bar, completed=min(done, 1.0))
            if not fabric.is_global_zero:
                continue
            if trainer.step % LOG_STEPS == 0:
                mean, recent = sum(recent) / len(recent), []
                log(out, trainer, loss=round(mean, 5), lr=learning_rate(recipe, trainer.step, done))
                speed = trainer.step * recipe.batch / max(trainer.seconds, 1e-9)
                progress.update(bar, facts=f"step {trainer.step} loss {mean:.4f} {speed:.1f} crops/s")
            if save_due.due():
                trainer.save(checkpoint)
            if validate and validation_due.due():
                figures = validate(trainer.average.module)
                log(out, trainer, **figures)
                progress.console.print(f"step {trainer.step}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))

    if trainer.robots is not None:
        trainer.robots.end()
    if fabric.is_global_zero:
        trainer.save(checkpoint)
        figures = validate(trainer.average.module) if validate else {}
        trainer.export(out / WEIGHTS, figures)
        log(out, trainer, **figures)
    return out / WEIGHTS


def refuse(recipe: Recipe, checkpoint: Path, resume: bool) -> None:
    """Say what is wrong with a run before anything is made or started."""
    if checkpoint.exists() and not resume:
        raise SaywhereError(f"run '{checkpoint.parent}': holds a checkpoint; add --resume, or choose another --out")
    if resume and not checkpoint.exists():
        raise SaywhereError(f"run '{checkpoint.parent}': has no {CHECKPOINT} to resume; leave --resume out")
    for data in recipe.data:
        locate_data(data.path)
    if recipe.model.weights is not None:
        locate(recipe.model.weights)
    if recipe.model.pretrained is not None:
        find_pretrained(recipe.model.pretrained)


def launch(recipe: Recipe) -> Fabric:
    """Lightning Fabric on all GPUs that there are, else on the processor."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(
        accelerator=device.type,
        devices="auto" if device.type == "cuda" else recipe.processes,
        precision=precision_for(device, recipe.precision),
    )
    fabric.launch()
    if dist.is_initialized():
        # The group's threads must not outlive the interpreter, which would then end with SIGABRT now and then.
        atexit.register(dist.destroy_process_group)
    if recipe.batch % fabric.world_size:
        raise SaywhereError(f"recipe batch {recipe.batch}: not a multiple of the {fabric.world_size} processes")
    return fabric


def progress_bar(console: Console, shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>5.1f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
        console=console,
        disable=not shown,
    )


def log(out: Path, trainer: Trainer, **facts: Any) -> None:
    line = {"step": trainer.step, "seconds": round(trainer.seconds, 1), **facts}
    with (out / LOG).open("a") as file:
        file.write(json.dumps(line) + "\n")
