"""The one training loop: click by click, on whatever device Lightning Fabric finds.

Each step encodes a batch of crops once and answers several rounds of clicks; after each round the robot
looks at the network's own mask and corrects it (iterative training, Mahadevan et al. 2018, as the DCT-Net
and sequential papers use it). A run that is killed goes on from its last checkpoint: model, average,
optimiser, step, time and random state are there, and crop n depends on the seed and n alone.
"""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from lightning_fabric import Fabric
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader, Sampler

from saywhere.datasets import locate
from saywhere.errors import SaywhereError
from saywhere.models import build
from saywhere.models.base import InteractiveModel
from saywhere.models.store import fill, read_tensors, save_model, write_tensors
from saywhere.training import losses
from saywhere.training.crops import Batch, Crops, collate, correct
from saywhere.training.recipe import Recipe

CHECKPOINT, WEIGHTS, LOG = "checkpoint.safetensors", "weights.safetensors", "log.jsonl"
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


@dataclass
class State:
    step: int = 0
    seconds: float = 0.0


def precision_for(device: torch.device, wish: str) -> Literal["32-true", "bf16-mixed"]:
    """Lightning's name of the precision: bfloat16 where the device computes in it, else float32."""
    if wish == "auto":
        if device.type == "cuda":
            wish = "bf16" if torch.cuda.is_bf16_supported() else "32"
        else:
            wish = "bf16" if torch.cpu._is_avx512_bf16_supported() else "32"
    return "bf16-mixed" if wish == "bf16" else "32-true"


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
    if checkpoint.exists() and not resume:
        raise SaywhereError(f"run '{out}': holds a checkpoint; add --resume to go on, or choose another --out")
    if resume and not checkpoint.exists():
        raise SaywhereError(f"run '{out}': has no {CHECKPOINT} to resume from; leave --resume out to start")

    for name in (*(data.path for data in recipe.data), recipe.model.pretrained, recipe.model.weights):
        if name is not None:
            locate(name)

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    precision = precision_for(device, recipe.precision)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    fabric = Fabric(accelerator=device.type, devices="auto" if device.type == "cuda" else 1, precision=precision)
    fabric.launch()
    torch.manual_seed(recipe.seed + fabric.global_rank)
    model = prepare(recipe)
    average = AveragedModel(model, multi_avg_fn=moving_average(recipe.optimiser.ema), use_buffers=True)
    average.to(fabric.device)
    optimiser = torch.optim.AdamW(
        model.parameter_groups(recipe.optimiser.encoder_scale),
        lr=recipe.optimiser.lr,
        weight_decay=recipe.optimiser.weight_decay,
    )
    state = State()
    if resume:
        state = load_checkpoint(checkpoint, model, average, optimiser)
    if device.type == "cpu":
        model.to(memory_format=torch.channels_last)
    network, wrapped = fabric.setup(model, optimiser)
    network.mark_forward_method("encode")
    network.mark_forward_method("decode")
    if recipe.batch % fabric.world_size:
        raise SaywhereError(f"recipe batch {recipe.batch}: not a multiple of the {fabric.world_size} processes")
    batch = recipe.batch // fabric.world_size
    loader = DataLoader(
        Crops(recipe),
        batch_size=batch,
        sampler=Onward(state.step * recipe.batch, fabric.global_rank, fabric.world_size),
        num_workers=recipe.workers,
        collate_fn=collate,
        prefetch_factor=4 if recipe.workers else None,
        # Else the loader would draw from the state that a checkpoint keeps.
        generator=torch.Generator(),
    )

    console.print(f"training on {fabric.world_size} x {device.type} in {precision}, into {out}", highlight=False)
    out.mkdir(parents=True, exist_ok=True)
    started, saved, validated = time.monotonic() - state.seconds, time.monotonic(), time.monotonic()
    recent: list[float] = []
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>5.1f} %"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[facts]}"),
        console=console,
        disable=not fabric.is_global_zero,
    ) as progress:
        bar = progress.add_task("training", total=1.0, facts="")
        for crops in loader:
            state.seconds = time.monotonic() - started
            done = state.step / recipe.steps if time_limit is None else state.seconds / time_limit
            if done >= 1.0:
                break
            rate = learning_rate(recipe, state.step, done)
            for group in optimiser.param_groups:
                group["lr"] = rate * group.get("lr_scale", 1.0)
            network.train()
            loss = rounds_loss(network, crops, recipe, fabric.device)
            fabric.backward(loss)
            fabric.clip_gradients(network, wrapped, max_norm=recipe.optimiser.clip)
            wrapped.step()
            wrapped.zero_grad(set_to_none=True)
            average.update_parameters(model)
            state.step += 1
            recent.append(float(loss.detach()))
            if not math.isfinite(recent[-1]):
                raise SaywhereError(f"loss is {recent[-1]} at step {state.step}: lower the recipe's optimiser.lr")

            if state.step % 50 == 0 and fabric.is_global_zero:
                mean, recent = sum(recent) / len(recent), []
                speed = state.step * recipe.batch / max(state.seconds, 1e-9)
                log(out, step=state.step, seconds=round(state.seconds, 1), loss=round(mean, 5), lr=rate)
                progress.update(bar, facts=f"step {state.step} loss {mean:.4f} {speed:.1f} crops/s")
            progress.update(bar, completed=min(done, 1.0))
            if time.monotonic() - saved > 60 * recipe.checkpoint_minutes and fabric.is_global_zero:
                save_checkpoint(checkpoint, model, average, optimiser, state)
                saved = time.monotonic()
            due = recipe.validation and time.monotonic() - validated > 60 * recipe.validation.every_minutes
            if validate and due and fabric.is_global_zero:
                figures = validate(average.module)
                log(out, step=state.step, seconds=round(state.seconds, 1), **figures)
                progress.console.print(f"step {state.step}: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()))
                validated = time.monotonic()

        figures = validate(average.module) if validate and fabric.is_global_zero else {}
        if fabric.is_global_zero:
            save_checkpoint(checkpoint, model, average, optimiser, state)
            save_model(
                out / WEIGHTS,
                average.module,
                recipe.model.name,
                recipe.model.options,
                {
                    "recipe": recipe.model_dump(mode="json"),
                    "data": [d.path for d in recipe.data],
                    "step": state.step,
                    "seconds": round(state.seconds),
                    "figures": figures,
                },
            )
            if figures:
                log(out, step=state.step, seconds=round(state.seconds, 1), **figures)
    return out / WEIGHTS


def moving_average(most: float) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An exponential average that forgets its first steps faster, so that it is of use from the beginning."""

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        decay = min(most, (1.0 + int(count)) / (10.0 + int(count)))
        for kept, new in zip(averaged, current, strict=True):
            if kept.is_floating_point():
                kept.lerp_(new, 1.0 - decay)
            else:
                kept.copy_(new)

    return update


def prepare(recipe: Recipe) -> InteractiveModel:
    """The recipe's network, its backbone or all of it filled from the files the recipe names, frozen parts frozen."""
    model = build(recipe.model.name, recipe.model.options)
    if recipe.model.weights:
        path = locate(recipe.model.weights)
        fill(model, read_tensors(path)[0], path)
    elif recipe.model.pretrained:
        path = locate(recipe.model.pretrained)
        encoder: nn.Module = model.encoder  # type: ignore[assignment]
        state = read_tensors(path)[0]
        fill(
            encoder,
            {k: v.float() if v.is_floating_point() else v for k, v in state.items() if k in encoder.state_dict()},
            path,
        )
    for name, parameter in model.named_parameters():
        if name.startswith(recipe.model.freeze):
            parameter.requires_grad_(False)
    return model


def learning_rate(recipe: Recipe, step: int, done: float) -> float:
    """Linear warm-up, then a cosine over the share of the run that is done."""
    settings = recipe.optimiser
    warm = min((step + 1) / settings.warmup_steps, 1.0) if settings.warmup_steps else 1.0
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
    return settings.lr * warm * (settings.final + (1.0 - settings.final) * cosine)


def rounds_loss(network: Any, batch: Batch, recipe: Recipe, device: torch.device) -> Tensor:
    """The mean loss over the rounds of one batch; each round's clicks answer the mask of the round before."""
    image = batch.image.to(device).float().div_(255.0)
    if device.type == "cpu":
        image = image.contiguous(memory_format=torch.channels_last)
    target, counted = batch.target.to(device).float(), 1.0 - batch.ignore.to(device).float()
    truth, ignore = batch.target[:, 0].numpy() > 0, batch.ignore[:, 0].numpy() > 0
    features = network.encode(image)
    prompts, previous = list(batch.prompts), None
    total = torch.zeros((), device=device)
    # Most of a step is rounds: one to the most, drawn alike, shows more photographs in the same time.
    rounds = 1 + int(np.random.default_rng((recipe.seed, batch.numbers[0], 3000)).integers(recipe.clicks.rounds))
    for turn in range(rounds):
        logits = network.decode(features, prompts, previous)
        total = total + losses.total(recipe.loss, logits, target, counted)
        if turn + 1 == rounds:
            break
        previous = logits.detach().sigmoid()
        predicted = previous[:, 0].cpu().numpy() > 0.5
        for i, number in enumerate(batch.numbers):
            rng = np.random.default_rng((recipe.seed, number, 1000 + turn))
            prompts[i] = correct(prompts[i], truth[i], predicted[i], ignore[i], batch.drags[i], recipe.clicks, rng)
        previous = coarsen(previous, batch.numbers, turn, recipe)
    return total / rounds


def coarsen(previous: Tensor, numbers: list[int], turn: int, recipe: Recipe) -> Tensor:
    """Some previous masks as they come from a coarser look at the photograph, or not at all."""
    draws = torch.tensor([np.random.default_rng((recipe.seed, n, 2000 + turn)).random() for n in numbers])
    blurred = nn.functional.interpolate(
        nn.functional.avg_pool2d(previous, 4), scale_factor=4, mode="bilinear", align_corners=False
    )
    share = recipe.clicks.blurred_previous
    pick = draws.to(previous.device)[:, None, None, None]
    return torch.where(pick < share, blurred, torch.where(pick > 0.95, torch.zeros_like(previous), previous))


def log(out: Path, **facts: Any) -> None:
    with (out / LOG).open("a") as file:
        file.write(json.dumps(facts) + "\n")


def save_checkpoint(
    path: Path, model: InteractiveModel, average: AveragedModel, optimiser: torch.optim.Optimizer, state: State
) -> None:
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.state_dict().items()}
    for index, values in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{index}.{k}": v for k, v in values.items()}
    tensors["random"] = torch.get_rng_state()
    # Tensors that share memory cannot be saved as they are.
    write_tensors(path, {k: v.clone() for k, v in tensors.items()}, {"step": state.step, "seconds": state.seconds})


def load_checkpoint(
    path: Path, model: InteractiveModel, average: AveragedModel, optimiser: torch.optim.Optimizer
) -> State:
    tensors, facts = read_tensors(path, "checkpoint")
    groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimiser": {}}
    for name, tensor in tensors.items():
        kind, _, rest = name.partition(".")
        if kind in groups:
            groups[kind][rest] = tensor
    fill(model, groups["model"], path)
    fill(average, groups["average"], path)
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in groups["optimiser"].items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = tensor
    state = optimiser.state_dict()
    optimiser.load_state_dict({**state, "state": moments})
    torch.set_rng_state(tensors["random"])
    return State(int(facts["step"]), float(facts["seconds"]))
