"""``saywhere models``: list weights, published networks that can be loaded by name, networks and recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.table import Table
from safetensors import safe_open

from saywhere.cli.common import console
from saywhere.errors import SaywhereError


def models() -> None:
    """List the weights that came along, the networks that can be trained, and recipes to train them."""
    from saywhere.runtime.hub import pretrained
    from saywhere.runtime.weights import PUBLISHED, shipped

    table = Table("name", "network", "recipe", "answers at", "MB", "steps", "trained on", title="weights")
    for name, path in shipped().items():
        if name not in PUBLISHED:
            table.add_row(name, *weights_row(path))
    console.print(table)
    for each in pretrained().values():
        console.print(f"{each.name}: SHA-256 {each.digest}", highlight=False, soft_wrap=True)
    list_published()
    try:
        from saywhere.models import MODELS
    except ImportError:
        console.print("networks and recipes: torch is missing; pip install 'saywhere[torch]'", markup=False)
        return
    networks = Table("network", "parameters", title="networks")
    for name in MODELS:
        networks.add_row(name, parameters(name))
    console.print(networks)
    list_recipes()


def list_published() -> None:
    """Print a table of the published networks that can be loaded by name, and which of them are installed."""
    from saywhere.runtime.weights import PUBLISHED, shipped

    installed = shipped()
    columns = ("name", "paper", "recipe", "answers at", "MB", "steps", "trained on")
    table = Table(*columns, title="published networks: saywhere.load(NAME), --model NAME; they run on torch")
    for name, paper in PUBLISHED.items():
        if name in installed:
            _, *facts = weights_row(installed[name])
            table.add_row(name, paper, *facts)
        else:
            table.add_row(name, paper, f"{name}-small", "", "", "", "weights not installed")
    console.print(table)


def weights_row(path: Path) -> list[str]:
    """Network, recipe, size of images, megabytes, steps and training data of a weights file."""
    from saywhere.core.settings import Settings
    from saywhere.runtime.metadata import training_size

    facts = metadata(path)
    trained = training_size(facts)
    settings = Settings().resolve(trained.size, trained.zoom)
    zoom = f", zoom {settings.zoom_size}" if settings.zoom else ""
    return [
        facts["model"], facts.get("recipe_name", ""), f"{settings.size}{zoom}", f"{path.stat().st_size / 1e6:.1f}",
        f"{facts['step']:,}", ", ".join(facts["data"]),
    ]  # fmt: skip


def parameters(network: str) -> str:
    """How many parameters a network has with its default options, or what it lacks to be built."""
    from saywhere.models import build

    try:
        return f"{sum(p.numel() for p in build(network, {}).parameters()) / 1e6:.2f} M"
    except SaywhereError as error:
        return str(error)


def list_recipes() -> None:
    """Print a table of the recipes that ship."""
    from saywhere.training.recipe_files import read_recipe, recipe_names
    from saywhere.training.stages import list_stages

    table = Table("recipe", "network", "steps", "stages", title="recipes: saywhere train RECIPE")
    for name in recipe_names():
        recipe = read_recipe(name)
        steps = sum(stage.recipe.steps for stage in list_stages(recipe))
        table.add_row(name, recipe.model.name, f"{steps:,}", ", ".join(recipe.stages))
    console.print(table)


def metadata(path: Path) -> dict[str, Any]:
    """What a weights file says of itself."""
    with safe_open(path, framework="numpy") as file:
        return {key: json.loads(value) for key, value in file.metadata().items()}
