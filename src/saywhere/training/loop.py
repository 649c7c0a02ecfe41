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
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader, Sampler

from saywhere.datasets import locate, locate_data
from saywhere.errors import SaywhereError
from saywhere.language.words import Words, shipped
from saywhere.models import build
from saywhere.models.base import InteractiveModel
from saywhere.models.runner import bfloat16_pays
from saywhere.models.store import fill, read_tensors, save_model, write_tensors
from saywhere.prompt import mirrored
from saywhere.training.crops import Batch, Crop, Crops, collate
from saywhere.training.pretrained import find_pretrained, fitted, widened
from saywhere.training.recipe import Recipe
from saywhere.training.robots import Robots
from saywhere.training.rounds import in_turns, losses_of

CHECKPOINT, WEIGHTS, LOG = "checkpoint.safetensors", "weights.safetensors", "log.jsonl"
LOG_STEPS = 50
Tensors = tuple[Tensor, ...] | list[Tensor]
Validate = Callable[[nn.Module], dict[str, float]]


class Onward(Sampler[int]):
    """Crop numbers of one process, from a step on: process r of n takes every n-th."""

    def __init__(self, start: int, rank: int, world: int) -> None:
        self.start, self.rank, self.world = start, rank, world

    def __iter__(self) -> Iterator[int]:
        number = self.start + self.rank
        while True:
            yield number
            number += self.world


def precision_for(device: torch.device, wish: str) -> Literal["32-true", "bf16-mixed"]:
    """Lightning's name of the precision: bfloat16 where the device computes in it, else float32."""
    if wish == "auto":
        wish = "bf16" if bfloat16_pays(device) else "32"
    return "bf16-mixed" if wish == "bf16" else "32-true"


class Learner:
    """A network, its average and its optimiser: what a step changes and a checkpoint keeps."""

    def __init__(self, recipe: Recipe, fabric: Fabric, crops: Crops) -> None:
        self.recipe, self.fabric = recipe, fabric
        self.trained_on = crops.trained_on
        self.step, self.seconds = 0, 0.0
        self.model = prepare(recipe).to(fabric.device)
        self.model.to(memory_format=torch.channels_last)
        self.robots = Robots(recipe.robots) if recipe.robots else None
        self.labels = words_of(crops.labels, self.model.words)
        self.average = AveragedModel(self.model, multi_avg_fn=moving_average(recipe.optimiser.ema), use_buffers=True)
        self.average.to(fabric.device)
        self.optimiser = torch.optim.AdamW(
            self.model.parameter_groups(recipe.optimiser.encoder_scale),
            lr=recipe.optimiser.lr,
            weight_decay=recipe.optimiser.weight_decay,
        )

    def learn(self, crops: Batch, done: float) -> float:
        """One step on a batch when ``done`` (0 to 1) of the run is over; returns the loss."""
        rate = learning_rate(self.recipe, self.step, done)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        self.model.train()
        still(self.model, self.recipe.model.still_norms)
        parts = crops.split(self.recipe.parts)
        of_parts = [losses_of(self.model, p, self.recipe, self.fabric, self.labels, self.robots) for p in parts]
        recent: deque[Tensor] = deque(maxlen=len(parts))
        for number, loss in enumerate(in_turns(of_parts), 1):
            self.fabric.backward(loss / len(parts))
            recent.append(loss.detach())
            if number % len(parts) == 0:  # all parts have added to the gradient
                self._agree()
                nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimiser.clip)
                self.optimiser.step()
                self.optimiser.zero_grad(set_to_none=True)
        value = float(torch.stack(list(recent)).mean())
        self.average.update_parameters(self.model)
        self.step += 1
        if not math.isfinite(value):
            raise SaywhereError(f"loss is {value} at step {self.step}: lower the recipe's optimiser.lr")
        return value

    def _agree(self) -> None:
        """Every process goes on with the mean of all processes' gradients, and so with the same weights.

        Several rounds of encode and decode lead to one loss, which PyTorch's own wrapper does not allow for.
        """
        if self.fabric.world_size == 1:
            return
        learning = [p for p in self.model.parameters() if p.requires_grad]
        own = [torch.zeros_like(p) if p.grad is None else p.grad for p in learning]
        mean = self.fabric.all_reduce(torch.cat([g.flatten() for g in own]), reduce_op="mean")
        assert isinstance(mean, Tensor)
        for parameter, part in zip(learning, mean.split([p.numel() for p in learning]), strict=True):
            parameter.grad = part.view_as(parameter)

    def save(self, path: Path) -> None:
        """Write a checkpoint, whole or not at all."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, values in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{k}": v for k, v in values.items()}
        tensors["random"] = torch.get_rng_state()
        # Tensors that share memory cannot be saved as they are.
        write_tensors(path, {k: v.clone() for k, v in tensors.items()}, {"step": self.step, "seconds": self.seconds})

    def load(self, path: Path) -> None:
        """Go on from a checkpoint; SaywhereError when it is damaged or of another network."""
        tensors, facts = read_tensors(path, "checkpoint")
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind in groups:
                groups[kind][rest] = tensor
        fill(self.model, groups["model"], path)
        fill(self.average, groups["average"], path)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups["optimiser"].items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        torch.set_rng_state(tensors["random"])
        self.step, self.seconds = int(facts["step"]), float(facts["seconds"])

    def export(self, path: Path, figures: dict[str, float]) -> None:
        """Write the averaged weights with all that they came from."""
        recipe = self.recipe
        facts = {
            "recipe": recipe.model_dump(mode="json"),
            "data": [data.path for data in recipe.data],
            "labels": self.trained_on,
            "step": self.step,
            "seconds": round(self.seconds),
            "figures": figures,
        }
        save_model(path, self.average.module, recipe.model.name, recipe.model.options, facts)


class Every:
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
    drawn = Crops(recipe)
    torch.manual_seed(recipe.seed)  # all processes begin with the same network
    learner = Learner(recipe, fabric, drawn)
    if resume:
        learner.load(checkpoint)
    if not fabric.is_global_zero:
        torch.manual_seed(recipe.seed + fabric.global_rank)
    crops = loader(drawn, learner.step, fabric)
    told = f"training on {fabric.world_size} x {fabric.device.type} in {precision_for(fabric.device, recipe.precision)}"
    console.print(f"{told}, into {out}", highlight=False)
    out.mkdir(parents=True, exist_ok=True)

    started = time.monotonic() - learner.seconds
    save_due = Every(recipe.checkpoint_minutes)
    validation_due = Every(recipe.validation.every_minutes if recipe.validation else math.inf)
    recent: list[float] = []
    with progress_bar(console, fabric.is_global_zero) as progress:
        bar = progress.add_task("training", total=1.0, facts="")
        for batch in crops:
            learner.seconds = time.monotonic() - started
            done = learner.step / recipe.steps if time_limit is None else learner.seconds / time_limit
            # One clock for all processes: none must leave while another waits for it.
            done = fabric.broadcast(done)
            if done >= 1.0:
                break
            recent.append(learner.learn(batch, done))
            progress.update(bar, completed=min(done, 1.0))
            if not fabric.is_global_zero:
                continue
            if learner.step % LOG_STEPS == 0:
                mean, recent = sum(recent) / len(recent), []
                log(out, learner, loss=round(mean, 5), lr=learning_rate(recipe, learner.step, done))
                speed = learner.step * recipe.batch / max(learner.seconds, 1e-9)
                progress.update(bar, facts=f"step {learner.step} loss {mean:.4f} {speed:.1f} crops/s")
            if save_due.due():
                learner.save(checkpoint)
            if validate and validation_due.due():
                figures = validate(learner.average.module)
                log(out, learner, **figures)
                progress.console.print(f"step {learner.step}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))

    if learner.robots is not None:
        learner.robots.end()
    if fabric.is_global_zero:
        learner.save(checkpoint)
        figures = validate(learner.average.module) if validate else {}
        learner.export(out / WEIGHTS, figures)
        log(out, learner, **figures)
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


def words_of(labels: Sequence[str], words: Words | None = None) -> Words:
    """Labels as single vectors: a table whose words are whole labels; those without a known word are left out."""
    words = words or shipped()
    known = [label for label in labels if words.mean(label).any()]
    # Left and right of a label trade places when a photograph is mirrored.
    known = sorted({*known, *map(mirrored, known)}) or ["thing"]
    return Words(known, np.stack([words.mean(label) for label in known]))


def loader(crops: Crops, step: int, fabric: Fabric) -> DataLoader[Crop]:
    """Batches from a step on, for ever; each process gets its share of every batch."""
    recipe = crops.recipe
    if recipe.workers > 1:
        crops.read_all()
    return DataLoader(
        crops,
        batch_size=recipe.batch // fabric.world_size,
        sampler=Onward(step * recipe.batch, fabric.global_rank, fabric.world_size),
        num_workers=recipe.workers,
        collate_fn=collate,
        prefetch_factor=4 if recipe.workers else None,
        # Else the loader would draw from the state that a checkpoint keeps.
        generator=torch.Generator(),
        pin_memory=fabric.device.type == "cuda",
    )


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


def moving_average(most: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An exponential average that forgets its first steps faster, so that it is of use from the beginning."""

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        decay = min(most, (1.0 + int(count)) / (10.0 + int(count)))
        if averaged[0].is_floating_point():  # all are of one kind
            get_ema_multi_avg_fn(decay)(averaged, current, count)
        else:
            for kept, new in zip(averaged, current, strict=True):
                kept.copy_(new)

    return update


def prepare(recipe: Recipe) -> InteractiveModel:
    """The recipe's network, its backbone or all of it filled from the files the recipe names, frozen parts frozen."""
    model = build(recipe.model.name, recipe.model.options)
    if recipe.model.weights:
        path = locate(recipe.model.weights)
        state = read_tensors(path)[0]
        fill(model, grown(state, model.state_dict(), recipe.model.new), path)
    elif recipe.model.pretrained:
        path = find_pretrained(recipe.model.pretrained)
        encoder: nn.Module = model.encoder  # type: ignore[assignment]
        fill(encoder, fitted(read_tensors(path)[0], encoder.state_dict()), path)
    for name, parameter in model.named_parameters():
        if name.startswith(recipe.model.freeze):
            parameter.requires_grad_(False)
    return model


def grown(state: dict[str, Tensor], like: Mapping[str, Tensor], new: tuple[str, ...]) -> dict[str, Tensor]:
    """Weights for a network that has more than the one they come from, as the recipe says what is ``new``.

    New parts begin as they were built; where a layer takes more channels than it did, the further ones begin at zero,
    so that the network at first answers as before.
    """
    state = {k: v for k, v in state.items() if not k.startswith(new)} if new else dict(state)
    for name, built in like.items():
        if name.startswith(new) and new:
            state[name] = built
        elif name in state:
            state[name] = widened(state[name], torch.zeros_like(built))
    return state


def learning_rate(recipe: Recipe, step: int, done: float) -> float:
    """Linear warm-up, then a cosine over the share of the run that is done."""
    settings = recipe.optimiser
    warm = min((step + 1) / settings.warmup_steps, 1.0) if settings.warmup_steps else 1.0
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
    return settings.lr * warm * (settings.final + (1.0 - settings.final) * cosine)


def still(model: nn.Module, everywhere: bool = False) -> None:
    """What is frozen keeps the statistics it came with, too; ``everywhere`` says that all batch norms do."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and (
            everywhere or not any(p.requires_grad for p in module.parameters())
        ):
            module.eval()


def log(out: Path, learner: Learner, **facts: Any) -> None:
    line = {"step": learner.step, "seconds": round(learner.seconds, 1), **facts}
    with (out / LOG).open("a") as file:
        file.write(json.dumps(line) + "\n")
