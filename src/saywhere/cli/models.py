"""``saywhere models``: List weights, networks and recipes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.markup import escape
from rich.table import Table
from safetensors import safe_open

from saywhere.cli.common import console
from saywhere.errors import SaywhereError


def models() -> None:
    """List the weights that came along, the networks that can be trained, and recipes to train them."""
    from saywhere.runtime.weights import shipped

    table = Table("name", "network", "recipe", "MB", "steps", "trained on", title="weights")
    for name, path in shipped().items():
        facts = metadata(path)
        size = f"{path.stat().st_size / 1e6:.1f}"
        recipe = facts.get("recipe_name", "")
        table.add_row(name, facts["model"], recipe, size, f"{facts['step']:,}", ", ".join(facts["data"]))
    console.print(table)
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


def parameters(network: str) -> str:
    """How many parameters a network has with its default options, or what it lacks to be built."""
    from saywhere.models import build

    try:
        return f"{sum(p.numel() for p in build(network, {}).parameters()) / 1e6:.2f} M"
    except SaywhereError as error:
        return escape(str(error))


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
