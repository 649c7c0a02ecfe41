"""The training loop, stage after stage.

A run that is killed resumes from its last checkpoint: model, moving average, optimiser, step, time and random state
are there, and sample n depends on the recipe's seed and n alone. Stages that have their weights are not run again.
Where torchrun starts the processes anew after one of them failed, they resume by themselves. Only the first process
writes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from rich.console import Console
from torch import nn

from saywhere.data.datasets import locate_data
from saywhere.errors import SaywhereError
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import check_batch, check_same_step, exchange, launch, precision_for, was_restarted
from saywhere.training.initialise import find_start
from saywhere.training.loader import loader
from saywhere.training.pretrained import find_pretrained
from saywhere.training.progress import IntervalTimer, append_log, describe_shares, progress_bar, shares
from saywhere.training.recipe import Recipe
from saywhere.training.result import write_result
from saywhere.training.stages import (
    CHECKPOINT,
    LOG,
    WEIGHTS,
    Stage,
    list_stages,
    select_stages,
    stage_folder,
    time_shares,
)
from saywhere.training.trainer import Trainer, read_step
from saywhere.training.watch import RunWatch

LOG_STEPS = 50
Validate = Callable[[nn.Module], dict[str, float]]
Validator = Callable[[str, int], Validate]
"""From a data set and a number of objects to a function that measures a network on them."""


@dataclass(frozen=True)
class StageRun:
    """A stage with where it runs, for how long, and from where."""

    stage: Stage
    folder: Path
    time_limit: float | None
    start: Path | None
    resume: bool

    def save(self, trainer: Trainer) -> None:
        """Write the checkpoint."""
        with self.resumable():
            trainer.save(self.folder / CHECKPOINT)

    def log(self, trainer: Trainer, **values: Any) -> None:
        """Add a line to the log."""
        with self.resumable():
            append_log(self.folder / LOG, trainer.step, trainer.seconds, **values)

    def export(self, trainer: Trainer, figures: dict[str, float]) -> None:
        """Write the weights."""
        with self.resumable():
            trainer.export(self.folder / WEIGHTS, figures, self.stage.name)

    @contextmanager
    def resumable(self) -> Iterator[None]:
        """Around what writes into the folder: an error says what is kept, and how to go on."""
        try:
            yield
        except SaywhereError as error:
            file = self.folder / CHECKPOINT
            kept = (
                f"the checkpoint of step {read_step(file):,} is kept" if file.exists() else "there is no checkpoint yet"
            )
            raise SaywhereError(f"{error}; {kept}: make room, then go on with --resume") from error


def train(
    recipe: Recipe,
    out: Path,
    time_limit: float | None = None,
    resume: bool = False,
    validator: Validator | None = None,
    console: Console | None = None,
    first_stage: str | None = None,
    last_stage: str | None = None,
) -> Path:
    """Train a recipe's network.

    Each stage keeps its checkpoint, log and weights in ``out/STAGE``, a recipe without stages in ``out``.

    Args:
        recipe: the recipe.
        out: the folder of the run.
        time_limit: seconds, of all resumed parts together. The schedule spans this time instead of the recipe's steps;
            stages share it by their steps.
        resume: whether to go on with the run that ``out`` holds.
        validator: measures the network on the recipe's validation data.
        console: where progress is shown.
        first_stage: run from this stage on; the one it comes after has its weights in ``out``.
        last_stage: end with this stage.

    Returns:
        The file of the weights: of the whole recipe, or of ``last_stage`` when that is not its last.

    Raises:
        SaywhereError: ``out`` holds a run and ``resume`` is not set, or the reverse, or a file is missing.
    """
    console = console or Console(markup=False)
    stages = list_stages(recipe)
    plan = _plan(select_stages(stages, first_stage, last_stage), out, time_limit, resume, was_restarted())
    fabric = launch(plan[0].stage.recipe if plan else recipe)
    console.quiet = console.quiet or not fabric.is_global_zero
    precision = precision_for(fabric.device, recipe.precision)
    devices = f"{fabric.world_size} x {fabric.device.type} in {precision}"
    console.print(f"training on {devices}, into {out}", highlight=False, soft_wrap=True)
    for run in plan:
        _run_stage(run, fabric, validator, console)
    if not recipe.stages or last_stage not in (None, stages[-1].name):
        return stage_folder(out, last_stage or "") / WEIGHTS
    if fabric.is_global_zero:
        write_result(recipe, stages, out, validator)
    return out / WEIGHTS


def _plan(
    stages: list[Stage], out: Path, time_limit: float | None, resume: bool, restarted: bool = False
) -> list[StageRun]:
    """The stages that are still to be run. Says what is wrong with them before anything is started.

    A run that torchrun starts anew resumes if it has a checkpoint yet.
    """
    plan: list[StageRun] = []
    must_have_begun, resume = resume and not restarted, resume or restarted
    for stage, limit in zip(stages, time_shares(stages, time_limit), strict=True):
        folder = stage_folder(out, stage.name)
        begun, ended = (folder / CHECKPOINT).exists(), (folder / WEIGHTS).exists()
        if begun and not resume:
            raise SaywhereError(f"run '{folder}': holds a checkpoint; add --resume, or choose another --out")
        if stage.name and ended and resume:
            continue
        start = None if stage.after is None else stage_folder(out, stage.after) / WEIGHTS
        planned = {run.stage.name for run in plan}
        if start is not None and stage.after not in planned and not start.exists():
            raise SaywhereError(f"stage '{stage.name}': comes after '{stage.after}', whose '{start}' is not there")
        plan.append(StageRun(stage, folder, limit, start, begun))
    if must_have_begun and not any(run.resume for run in plan) and not _any_weights(stages, out):
        raise SaywhereError(f"run '{out}': has no {CHECKPOINT} to resume; leave --resume out")
    for run in plan:
        check_files(run.stage.recipe)
    return plan


def _any_weights(stages: list[Stage], out: Path) -> bool:
    return any(stage.name and (stage_folder(out, stage.name) / WEIGHTS).exists() for stage in stages)


def check_files(recipe: Recipe) -> None:
    """SaywhereError when a file that a recipe names is not there."""
    for data in recipe.data:
        locate_data(data.path)
    if recipe.model.weights is not None:
        find_start(recipe.model.weights)
    for pretrained in (recipe.model.pretrained, recipe.model.pretrained_tokens):
        if pretrained is not None:
            find_pretrained(pretrained)


def _run_stage(run: StageRun, fabric: Fabric, validator: Validator | None, console: Console) -> None:
    """Train one stage to its end and write its weights."""
    recipe = run.stage.recipe
    check_batch(recipe, fabric)
    if run.stage.name:
        console.print(f"stage {run.stage.name}", highlight=False)
    crops = CropDataset(recipe)
    torch.manual_seed(recipe.seed)  # all processes begin with the same network
    trainer = Trainer(recipe, fabric, crops, run.start)
    if run.resume:
        trainer.load(run.folder / CHECKPOINT)
    check_same_step(trainer.step, fabric)
    run.folder.mkdir(parents=True, exist_ok=True)
    validation = recipe.validation
    validate = validator(validation.data, validation.limit) if validator and validation else None
    quiet = {"tensorboard": False, "sample_masks": 0}
    watch = RunWatch(recipe if fabric.is_global_zero else recipe.model_copy(update=quiet), run.folder)
    try:
        _fit(trainer, crops, run, validate, console, watch)
    finally:
        trainer.close()
        watch.close()
    if fabric.is_global_zero:
        run.save(trainer)
        with run.resumable():
            watch.masks(trainer.step, trainer.result)
        figures = validate(trainer.result) if validate else {}
        run.export(trainer, figures)
        run.log(trainer, **figures)
    with exchange():
        fabric.barrier()  # the next stage reads these weights


def _fit(
    trainer: Trainer, crops: CropDataset, run: StageRun, validate: Validate | None, console: Console, watch: RunWatch
) -> None:
    """Make steps until the stage's steps or its time are over."""
    recipe, fabric, timer = trainer.recipe, trainer.fabric, trainer.timer
    began, first_step = time.monotonic(), trainer.step
    started = began - trainer.seconds
    save_timer = IntervalTimer(recipe.checkpoint_minutes)
    validation_timer = IntervalTimer(recipe.validation.every_minutes if recipe.validation else math.inf)
    losses: list[float] = []
    batches = iter(loader(crops, trainer.step, fabric))
    with progress_bar(console, fabric.is_global_zero) as progress:
        bar = progress.add_task(run.stage.name or "training", total=1.0, status="")
        while True:
            timer.start_step(trainer.step, recipe.batch)
            with timer.phase("data"):
                batch = next(batches)
            trainer.seconds = time.monotonic() - started
            done = trainer.step / recipe.steps if run.time_limit is None else trainer.seconds / run.time_limit
            # One clock for all processes: none must leave while another waits for it.
            with exchange():
                done = fabric.broadcast(done)
            if done >= 1.0:
                progress.update(bar, completed=1.0)
                break
            losses.append(trainer.learn(batch, done))
            progress.update(bar, completed=min(done, 1.0))
            if not fabric.is_global_zero:
                continue
            if trainer.step % LOG_STEPS == 0:
                mean, losses = sum(losses) / len(losses), []
                rate = trainer.learning_rate.at(trainer.step, done)
                speed, parts = timer.take()
                figures = {"loss": round(mean, 5), "lr": rate, "images_per_second": round(speed, 2), "time": parts}
                run.log(trainer, **figures)
                watch.figures(trainer.step, {"loss": mean, "lr": rate, "images_per_second": speed})
                status = f"step {trainer.step} loss {mean:.4f} {speed:.1f} images/s ({describe_shares(parts)})"
                progress.update(bar, status=status)
            if save_timer.due():
                run.save(trainer)
                with run.resumable():
                    watch.masks(trainer.step, trainer.result)
            if validate and validation_timer.due():
                measured = validate(trainer.result)
                run.log(trainer, **measured)
                watch.figures(trainer.step, measured)
                line = ", ".join(f"{k} {v:.3f}" for k, v in measured.items())
                progress.console.print(f"step {trainer.step}: {line}")
    timer.take()
    seconds = max(time.monotonic() - began, 1e-9)
    speed = (trainer.step - first_step) * recipe.batch / seconds
    line = f"{trainer.step - first_step:,} steps, {speed:.1f} images/s; {describe_shares(shares(timer.total))}"
    console.print(line, highlight=False, soft_wrap=True)
