"""A recipe's stages: training runs that follow each other, each from the weights of another.

A stage takes the settings of the stage it comes after, changes some, and starts from that stage's weights. What the
weights lack because the stage changes the network's options is initialised anew.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from saywhere.errors import SaywhereError
from saywhere.training.recipe import Recipe

CHECKPOINT, WEIGHTS, LOG = "checkpoint.safetensors", "weights.safetensors", "log.jsonl"
AFTER = "after"
WHOLE_RUN = ("processes", "precision", "name", "stages", "average")
"""Keys that no stage can change."""


@dataclass(frozen=True)
class Stage:
    """One training run of a recipe.

    Attributes:
        name: the stage's key; "" for a recipe without stages.
        recipe: its settings, without stages.
        after: the stage whose weights it starts from; None for those that ``model`` in its recipe names.
    """

    name: str
    recipe: Recipe
    after: str | None = None


def merged(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """A copy of a mapping with changes; a mapping in a mapping is merged key by key, anything else is replaced.

    Example:
        >>> merged({"crop": {"size": 256, "zoom": [1, 2]}}, {"crop": {"size": 320}})
        {'crop': {'size': 320, 'zoom': [1, 2]}}
    """
    result = dict(base)
    for key, value in changes.items():
        old = result.get(key)
        result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result


def list_stages(recipe: Recipe) -> list[Stage]:
    """The stages of a recipe in their order; the recipe itself when it has none.

    A stage comes after the one before it, or after the one that its key ``after`` names. Where it does not set its own
    seed, its number is added to the recipe's, so that stages see different samples.

    Raises:
        SaywhereError: a stage has a wrong key or comes after one that is not before it.
    """
    _check_average(recipe)
    if not recipe.stages:
        return [Stage("", recipe)]
    stages: dict[str, Stage] = {}
    contents: dict[str, dict[str, Any]] = {}
    common = recipe.model_dump(exclude={"stages", "average"})
    previous: str | None = None
    for number, (name, given) in enumerate(recipe.stages.items()):
        changes = dict(given or {})
        after = changes.pop(AFTER, previous)
        if not name or "/" in name or name.startswith("."):
            raise SaywhereError(f"recipe '{recipe.name}': stage {name!r} cannot name a folder; use letters and -")
        if after is not None and after not in stages:
            choice = ", ".join(stages) or "nothing; it is the first"
            raise SaywhereError(f"recipe '{recipe.name}': stages.{name}.after: '{after}'; it may come after {choice}")
        if fixed := [key for key in WHOLE_RUN if key in changes]:
            raise SaywhereError(f"recipe '{recipe.name}': stages.{name}.{fixed[0]}: can only be set for all stages")
        contents[name] = merged(contents[after] if after else common, changes)
        own = {**contents[name], "seed": changes.get("seed", recipe.seed + number)}
        if after is not None:
            # What the stage before started from is not what this one starts from.
            own["model"] = {**own["model"], "weights": None, "pretrained": None, "new": (), **changes.get("model", {})}
            own["model"]["options"] = contents[name]["model"]["options"]
        checked = _checked(recipe.name, name, own)
        stages[name] = Stage(name, checked, after if checked.model.weights is None else None)
        previous = name
    return list(stages.values())


def _check_average(recipe: Recipe) -> None:
    unknown = [name for name in recipe.average if name not in recipe.stages]
    if unknown:
        choice = ", ".join(recipe.stages) or "none"
        raise SaywhereError(f"recipe '{recipe.name}': average: no stage '{unknown[0]}'; its stages are {choice}")
    if len(recipe.average) == 1:
        raise SaywhereError(f"recipe '{recipe.name}': average: one stage has no mean; name two or more")


def _checked(recipe: str, stage: str, content: Mapping[str, Any]) -> Recipe:
    try:
        return Recipe.model_validate(content)
    except ValidationError as error:
        details = "; ".join(f"stages.{stage}.{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise SaywhereError(f"recipe '{recipe}': {details}") from error


def select_stages(stages: Sequence[Stage], first: str | None, last: str | None) -> list[Stage]:
    """The stages from one to another, both included.

    Raises:
        SaywhereError: there is no such stage, or the last comes before the first.
    """
    names = [stage.name for stage in stages]
    for option, name in (("--stage", first), ("--last-stage", last)):
        if name is not None and name not in names:
            choice = ", ".join(names) if names != [""] else "none"
            raise SaywhereError(f"{option} '{name}': the recipe has no such stage; its stages are {choice}")
    begin = names.index(first) if first is not None else 0
    end = names.index(last) if last is not None else len(names) - 1
    if end < begin:
        raise SaywhereError(f"--last-stage '{last}': comes before --stage '{first}'")
    return list(stages[begin : end + 1])


def time_shares(stages: Sequence[Stage], time_limit: float | None) -> list[float | None]:
    """A time limit, in seconds, shared out by the stages' steps; None for each without a limit.

    Example:
        >>> time_shares([], 60.0)
        []
    """
    total = sum(stage.recipe.steps for stage in stages)
    return [None if time_limit is None else time_limit * stage.recipe.steps / total for stage in stages]


def stage_folder(out: Path, stage: str) -> Path:
    """The folder of a stage's checkpoint, log and weights."""
    return out / stage
