"""The networks of a definition: trained once each, resumed where they were killed, or taken from those that ship."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from rich.console import Console

from saywhere.data.datasets import load_dataset
from saywhere.errors import SaywhereError
from saywhere.evaluation.reproduce.definition import FULL, Definition, Network
from saywhere.runtime.weights import shipped
from saywhere.storage.tensors import read_tensor_file
from saywhere.training.loop import check_files, train
from saywhere.training.recipe import Recipe
from saywhere.training.recipe_files import read_recipe
from saywhere.training.stages import CHECKPOINT, WEIGHTS, list_stages, select_stages, stage_folder

CHECKPOINT_MINUTES = 2.0  # what a kill costs at most


@dataclass(frozen=True)
class Training:
    """The training of one network.

    Attributes:
        name: the network's name in its definition.
        recipe: with all changes.
        last_stage: the stage that it ends with; None: the recipe's last.
        folder: of the run.
        steps: of all stages together.
        time_limit: seconds; None: the steps decide.
        seen: the labels that are drawn and named; None: all.
    """

    name: str
    recipe: Recipe
    last_stage: str | None
    folder: Path
    steps: int
    time_limit: float | None
    seen: tuple[str, ...] | None

    @property
    def weights(self) -> Path:
        """The file that the training ends with."""
        whole = self.last_stage in (None, list_stages(self.recipe)[-1].name)
        return self.folder / WEIGHTS if whole else stage_folder(self.folder, self.last_stage or "") / WEIGHTS

    @property
    def done(self) -> bool:
        """Whether the training is finished."""
        return self.weights.is_file()

    def check(self) -> None:
        """Check that the files that it needs are here.

        Raises:
            SaywhereError: names one that is not.
        """
        for stage in select_stages(list_stages(self.recipe), None, self.last_stage):
            check_files(stage.recipe)

    def run(self, console: Console) -> Path:
        """Train, from the start or from the last checkpoint.

        Returns:
            The weights.
        """
        folders = [stage_folder(self.folder, stage.name) for stage in list_stages(self.recipe)]
        begun = any((folder / name).is_file() for folder in folders for name in (CHECKPOINT, WEIGHTS))
        return train(self.recipe, self.folder, self.time_limit, begun, console=console, last_stage=self.last_stage)


def make_training(
    definition: Definition, name: str, out: Path, steps: int | None, time_limit: float | None, changes: tuple[str, ...]
) -> Training:
    """The training of a network of a definition.

    Args:
        definition: the paper's.
        name: of the network.
        out: the folder of the reproduction.
        steps: of all stages together, instead of the definition's.
        time_limit: seconds; None: the steps decide.
        changes: further changes of every recipe.

    Raises:
        SaywhereError: a change is wrong, or the training data that seen labels are chosen from is not here.
    """
    network, steps = definition.networks[name], steps or definition.steps
    recipe = read_recipe(definition.recipe, [*network.changes, *changes])
    seen = None if network.seen is None else tuple(network.seen.chosen(labels_of(recipe)))
    recipe = read_recipe(definition.recipe, [*network.changes, *changes, *step_changes(recipe, network, steps)])
    update: dict[str, Any] = {
        "name": f"{definition.recipe}, {name}", "checkpoint_minutes": min(CHECKPOINT_MINUTES, recipe.checkpoint_minutes)
    }  # fmt: skip
    if seen is not None:
        held_out = tuple(sorted(set(labels_of(recipe)) - set(seen)))
        update["phrases"] = recipe.phrases.model_copy(update={"held_out": held_out})
    recipe = recipe.model_copy(update=update)
    return Training(name, recipe, network.last_stage, out / "networks" / name, steps, time_limit, seen)


def step_changes(recipe: Recipe, network: Network, steps: int) -> list[str]:
    """The changes that give a recipe a number of steps in all, shared by its stages as they share them."""
    stages = select_stages(list_stages(recipe), None, network.last_stage)
    if not recipe.stages:
        return [f"steps={steps}"]
    total = sum(stage.recipe.steps for stage in stages)
    shares = [max(1, steps * stage.recipe.steps // total) for stage in stages]
    shares[0] = max(1, steps - sum(shares[1:]))
    return [f"stages.{stage.name}.steps={share}" for stage, share in zip(stages, shares, strict=True)]


def labels_of(recipe: Recipe) -> list[str]:
    """The labels of a recipe's training data, by name."""
    return sorted(set().union(*(labels_in(data.path) for data in recipe.data)))


@lru_cache(maxsize=8)
def labels_in(path: str) -> frozenset[str]:
    """The labels of a data set."""
    return frozenset(str(sample.label) for sample in load_dataset(path) if sample.label is not None)


def shipped_weights(paper: str) -> Path | None:
    """The weights of a published network that came with the package; None without any."""
    return shipped().get(paper)


def digest_of(weights: Path) -> str:
    """The digest of a weights file."""
    return read_tensor_file(weights).digest


def steps_of(weights: Path) -> int | None:
    """How many steps some weights were trained; None where they do not say."""
    step = read_tensor_file(weights).metadata.get("step")
    return int(step) if isinstance(step, int) else None


def fingerprint(recipe: Recipe) -> str:
    """A short hash of everything in a recipe."""
    return hashlib.sha256(json.dumps(recipe.model_dump(mode="json"), sort_keys=True).encode()).hexdigest()[:12]


def uses_shipped(networks: set[str], paper: str, allowed: bool) -> bool:
    """Whether a table's figures are those of the weights that ship: there are some, and the table compares no networks.

    A table that compares networks trains all of them, so that they have the same budget.
    """
    return allowed and networks == {FULL} and shipped_weights(paper) is not None


def missing_file(training: Training) -> str | None:
    """What a training lacks, in a line; None when it can begin."""
    try:
        training.check()
    except SaywhereError as error:
        return str(error)
    return None
