"""The state of a training run: model, average, optimiser, step."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from saywhere.core.prompt import mirrored
from saywhere.data.datasets import locate
from saywhere.errors import SaywhereError
from saywhere.models import build
from saywhere.models.base import InteractiveModel
from saywhere.models.checkpoint import fill, read_tensors, rename_parameters, save_model, write_tensors
from saywhere.text.words import Words, shipped
from saywhere.training.batch import Batch
from saywhere.training.corrections import Robots
from saywhere.training.dataset import CropDataset
from saywhere.training.pretrained import find_pretrained, inflate, select
from saywhere.training.recipe import Recipe
from saywhere.training.step import interleave, step_losses

Tensors = tuple[Tensor, ...] | list[Tensor]


class Trainer:
    """A network, its average and its optimiser: what a step changes and a checkpoint keeps."""

    def __init__(self, recipe: Recipe, fabric: Fabric, crops: CropDataset) -> None:
        self.recipe, self.fabric = recipe, fabric
        self.trained_on = crops.trained_on
        self.step, self.seconds = 0, 0.0
        self.model = prepare(recipe).to(fabric.device)
        self.model.to(memory_format=torch.channels_last)
        self.robots = Robots(recipe.robot_processes) if recipe.robot_processes else None
        self.labels = label_vectors(crops.labels, self.model.words)
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
        freeze_batch_norm(self.model, self.recipe.model.freeze_batch_norm)
        parts = crops.split(self.recipe.micro_batches)
        of_parts = [step_losses(self.model, p, self.recipe, self.fabric, self.labels, self.robots) for p in parts]
        recent: deque[Tensor] = deque(maxlen=len(parts))
        for number, loss in enumerate(interleave(of_parts), 1):
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


def label_vectors(labels: Sequence[str], words: Words | None = None) -> Words:
    """Labels as single vectors: a table whose words are whole labels; those without a known word are left out."""
    words = words or shipped()
    known = [label for label in labels if words.mean(label).any()]
    # Left and right of a label trade places when a photograph is mirrored.
    known = sorted({*known, *map(mirrored, known)}) or ["thing"]
    return Words(known, np.stack([words.mean(label) for label in known]))


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
        fill(
            model,
            expand(rename_parameters(state, model.renamed_parameters), model.state_dict(), recipe.model.new),
            path,
        )
    elif recipe.model.pretrained:
        path = find_pretrained(recipe.model.pretrained)
        encoder: nn.Module = model.encoder  # type: ignore[assignment]
        fill(encoder, select(read_tensors(path)[0], encoder.state_dict()), path)
    for name, parameter in model.named_parameters():
        if name.startswith(recipe.model.freeze):
            parameter.requires_grad_(False)
    return model


def expand(state: dict[str, Tensor], like: Mapping[str, Tensor], new: tuple[str, ...]) -> dict[str, Tensor]:
    """Weights for a network that has more than the one they come from, as the recipe says what is ``new``.

    New parts begin as they were built; where a layer takes more channels than it did, the further ones begin at zero,
    so that the network at first answers as before.
    """
    state = {k: v for k, v in state.items() if not k.startswith(new)} if new else dict(state)
    for name, built in like.items():
        if name.startswith(new) and new:
            state[name] = built
        elif name in state:
            state[name] = inflate(state[name], torch.zeros_like(built))
    return state


def learning_rate(recipe: Recipe, step: int, done: float) -> float:
    """Linear warm-up, then a cosine over the share of the run that is done."""
    settings = recipe.optimiser
    warm = min((step + 1) / settings.warmup_steps, 1.0) if settings.warmup_steps else 1.0
    cosine = 0.5 * (1.0 + math.cos(math.pi * min(done, 1.0)))
    return settings.lr * warm * (settings.final + (1.0 - settings.final) * cosine)


def freeze_batch_norm(model: nn.Module, everywhere: bool = False) -> None:
    """What is frozen keeps the statistics it came with, too; ``everywhere`` says that all batch norms do."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) and (
            everywhere or not any(p.requires_grad for p in module.parameters())
        ):
            module.eval()
