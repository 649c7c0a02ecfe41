"""The state of a training run: model, moving average, optimiser, step."""

from __future__ import annotations

import math
from collections import deque
from itertools import count
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from saywhere.errors import SaywhereError
from saywhere.models.checkpoint import load_state, read_tensors, save_model, write_tensors
from saywhere.training.batch import Batch
from saywhere.training.corrections import RobotPool
from saywhere.training.dataset import CropDataset
from saywhere.training.devices import exchange
from saywhere.training.initialise import initialise
from saywhere.training.phrases import label_vectors
from saywhere.training.progress import StepTimer
from saywhere.training.provenance import shareable
from saywhere.training.recipe import Recipe
from saywhere.training.recipe_parts import OptimiserRecipe
from saywhere.training.schedule import LearningRate, freeze_batch_norm, moving_average, running_statistics
from saywhere.training.step import interleave, step_losses


def build_optimiser(settings: OptimiserRecipe, groups: list[dict[str, Any]]) -> torch.optim.Optimizer:
    """An optimiser of torch.optim.

    Args:
        settings: the recipe's.
        groups: parameters in groups; those of norms and biases have a weight decay of 0.
    """
    if settings.decay_all:
        groups = [{key: value for key, value in group.items() if key != "weight_decay"} for group in groups]
    common: dict[str, Any] = {"lr": settings.lr, "weight_decay": settings.weight_decay}
    if settings.name == "sgd":
        return torch.optim.SGD(groups, momentum=settings.momentum, nesterov=settings.nesterov, **common)
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(groups, betas=settings.betas, **common)


def read_step(checkpoint: Path) -> int:
    """The step at which a checkpoint was written."""
    return int(read_tensors(checkpoint, "checkpoint")[1]["step"])


class Trainer:
    """A network, its moving average and its optimiser: what a step changes and a checkpoint keeps.

    Args:
        recipe: the settings of one run, without stages.
        fabric: the devices.
        crops: the training data.
        start: the weights to start from, instead of those that the recipe names.
    """

    def __init__(self, recipe: Recipe, fabric: Fabric, crops: CropDataset, start: Path | None = None) -> None:
        self.recipe, self.fabric = recipe, fabric
        self.trained_on = crops.trained_on
        self.phrases = crops.phrases
        self.step, self.seconds = 0, 0.0
        self.timer = StepTimer(fabric.device)
        self.model = initialise(recipe.model, start).to(fabric.device)
        self.model.to(memory_format=torch.channels_last)
        self.robots = RobotPool(recipe.robot_processes) if recipe.robot_processes else None
        self.labels = label_vectors(crops.labels, self.model.words)
        settings = recipe.optimiser
        self.average: AveragedModel | None = None
        if settings.ema_decay is not None:
            average = moving_average(settings.ema_decay)
            self.average = AveragedModel(self.model, multi_avg_fn=average, use_buffers=True)
            self.average.to(fabric.device)
        groups = self.model.parameter_groups(settings.encoder_lr_factor, recipe.candidates.lr_factor)
        self.optimiser = build_optimiser(settings, groups)
        samples = recipe.epoch_samples or crops.epoch_samples
        self.learning_rate = LearningRate(settings, recipe.steps, samples / recipe.batch)

    @property
    def result(self) -> nn.Module:
        """The network that the run results in: the moving average of the weights, or without one the trained ones."""
        return self.model if self.average is None else self.average.module

    def learn(self, batch: Batch, done: float) -> float:
        """Make one step.

        Args:
            batch: its samples.
            done: the share of the run that is over, 0 to 1.

        Returns:
            The loss, of all processes.

        Raises:
            SaywhereError: the loss is not finite, or another process has ended.
        """
        if self.fabric.global_rank:
            # The first process's state is in the checkpoint. The others' begins anew with each step, so that they too
            # go on after a restart as if there had been none.
            torch.manual_seed(self.recipe.seed + self.fabric.global_rank + (self.step << 16))
        rate = self.learning_rate.at(self.step, done)
        for group in self.optimiser.param_groups:
            group["lr"] = rate * group.get("lr_scale", 1.0)
        self.model.train()
        freeze_batch_norm(self.model, self.recipe.model.freeze_batch_norm)
        value = self._backward(batch)
        if self.average is not None:
            with self.timer.phase("optimiser"):
                self.average.update_parameters(self.model)
        self.step += 1
        if not math.isfinite(value):
            raise SaywhereError(f"loss is {value} at step {self.step}: lower the recipe's optimiser.lr")
        return value

    def _backward(self, batch: Batch) -> float:
        """Add up the gradients of the micro batches and let the optimiser step, once or after each round."""
        parts = batch.split(self.recipe.micro_batches)
        losses = [step_losses(self.model, p, self.recipe, self.fabric, self.labels, self.robots) for p in parts]
        recent: deque[Tensor] = deque(maxlen=len(parts))
        turns = interleave(losses)
        for number in count(1):
            with self.timer.phase("forward"):
                loss = next(turns, None)
            if loss is None:
                break
            with self.timer.phase("backward"):
                self.fabric.backward(loss / len(parts))
            recent.append(loss.detach())
            if number % len(parts) == 0:  # every micro batch has added to the gradient
                self._average_over_processes()
                with self.timer.phase("optimiser"):
                    if self.recipe.optimiser.grad_clip_norm is not None:
                        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.optimiser.grad_clip_norm)
                    self.optimiser.step()
                    self.optimiser.zero_grad(set_to_none=True)
        return self._mean(torch.stack(list(recent)).mean())

    def _average_over_processes(self) -> None:
        """Give every process the mean of all processes' gradients and of their batch norms' running statistics.

        So they have the same network, and any of them could write the checkpoint. Several rounds of encode and decode
        lead to one loss, which PyTorch's own wrapper (DDP) does not allow for.
        """
        if self.fabric.world_size == 1:
            return
        with self.timer.phase("exchange"), torch.no_grad():
            trained = [p for p in self.model.parameters() if p.requires_grad]
            gradients = [torch.zeros_like(p) if p.grad is None else p.grad for p in trained]
            statistics = running_statistics(self.model)
            own = [*gradients, *statistics]
            with exchange():
                mean = self.fabric.all_reduce(torch.cat([g.flatten().float() for g in own]), reduce_op="mean")
            assert isinstance(mean, Tensor)
            means = mean.split([g.numel() for g in own])
            for parameter, part in zip(trained, means, strict=False):
                parameter.grad = part.view_as(parameter).to(parameter)
            for tensor, part in zip(statistics, means[len(trained) :], strict=True):
                tensor.copy_(part.view_as(tensor))

    def _mean(self, loss: Tensor) -> float:
        """The mean of all processes' losses."""
        if self.fabric.world_size == 1:
            return float(loss)
        with self.timer.phase("exchange"), exchange():
            mean = self.fabric.all_reduce(loss, reduce_op="mean")
        assert isinstance(mean, Tensor)
        return float(mean)

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically."""
        tensors = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for index, values in self.optimiser.state_dict()["state"].items():
            # SGD without momentum keeps None.
            tensors |= {f"optimiser.{index}.{k}": v for k, v in values.items() if v is not None}
        tensors["random"] = torch.get_rng_state()
        # Tensors that share memory cannot be saved as they are.
        write_tensors(path, {k: v.clone() for k, v in tensors.items()}, {"step": self.step, "seconds": self.seconds})

    def load(self, path: Path) -> None:
        """Resume from a checkpoint; SaywhereError when it is damaged or of another network."""
        tensors, metadata = read_tensors(path, "checkpoint")
        groups: dict[str, dict[str, Tensor]] = {"model": {}, "average": {}, "optimiser": {}}
        for name, tensor in tensors.items():
            kind, _, rest = name.partition(".")
            if kind in groups:
                groups[kind][rest] = tensor
        load_state(self.model, groups["model"], path)
        if self.average is not None:
            load_state(self.average, groups["average"], path)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in groups["optimiser"].items():
            index, _, key = name.partition(".")
            moments.setdefault(int(index), {})[key] = tensor
        self.optimiser.load_state_dict({**self.optimiser.state_dict(), "state": moments})
        torch.set_rng_state(tensors["random"])
        self.step, self.seconds = int(metadata["step"]), float(metadata["seconds"])

    def export(self, path: Path, figures: dict[str, float], stage: str = "") -> None:
        """Write the weights that the run results in; their metadata say what they come from."""
        recipe = self.recipe
        metadata = {
            "recipe_name": recipe.name,
            "stage": stage,
            "recipe": shareable(recipe),
            # Who learned several sizes is run at the Segmenter's own.
            **({} if recipe.crop.sizes else {"size": recipe.crop.size}),
            "zoom": recipe.crop.mode == "object" and recipe.crop.full_image_prob < 1.0,
            "data": [data["path"] for data in shareable(recipe)["data"]],
            "labels": self.trained_on,
            "phrases": self.phrases,
            "step": self.step,
            "seconds": round(self.seconds),
            "figures": figures,
        }
        save_model(path, self.result, recipe.model.name, recipe.model.options, metadata)

    def close(self) -> None:
        """End the processes that compute corrections."""
        if self.robots is not None:
            self.robots.close()
