"""The weights that a recipe with stages results in."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from saywhere.models.checkpoint import read_tensors, write_tensors
from saywhere.training.average import average_weights
from saywhere.training.provenance import shareable
from saywhere.training.recipe import Recipe
from saywhere.training.stages import WEIGHTS, Stage, stage_folder


def write_result(
    recipe: Recipe,
    stages: Sequence[Stage],
    out: Path,
    validator: Callable[[str, int], Callable[[nn.Module], dict[str, float]]] | None = None,
) -> None:
    """Write ``out/weights.safetensors``: the weights of the last stage, or the mean that the recipe asks for.

    The metadata name the recipe, hold all of it, and say how long each stage was trained.

    Args:
        recipe: a recipe with stages.
        stages: its stages; those that were run have their weights in ``out/STAGE``, the last one among them.
        out: the folder of the run.
        validator: measures a mean on the validation data of the first averaged stage.
    """
    metadata = {**_history(stages, out), "recipe": shareable(recipe)}
    if recipe.average:
        files = [stage_folder(out, name) / WEIGHTS for name in recipe.average]
        average_weights(files, out / WEIGHTS, validator, metadata)
    else:
        tensors, last = read_tensors(stage_folder(out, stages[-1].name) / WEIGHTS)
        write_tensors(out / WEIGHTS, tensors, {**last, **metadata})


def _history(stages: Sequence[Stage], out: Path) -> dict[str, Any]:
    """Steps and seconds of each stage and of all together.

    A stage that was not run here is left out: one may begin in the middle, from weights that the recipe names.
    """
    trained = {}
    for stage in stages:
        weights = stage_folder(out, stage.name) / WEIGHTS
        if not weights.exists():
            continue
        metadata = read_tensors(weights)[1]
        trained[stage.name] = {"step": metadata["step"], "seconds": metadata["seconds"]}
    return {
        "stage": "",
        "stages": trained,
        "step": sum(of["step"] for of in trained.values()),
        "seconds": sum(of["seconds"] for of in trained.values()),
    }
