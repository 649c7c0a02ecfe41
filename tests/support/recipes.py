"""A small network and a short recipe for it."""

from __future__ import annotations

from pathlib import Path

from saywhere.training.recipe import Recipe

SMALL = {"widths": [8, 8, 16, 16], "key": 8}


def recipe_for(path: Path, **changes: object) -> Recipe:
    content = {
        "model": {"name": "saywhere", "options": SMALL, "freeze": ["encoder.blocks.0"]},
        "data": [{"path": str(path)}],
        "crop": {"size": 64},
        "optimiser": {"warmup_steps": 2, "ema_decay": 0.9},
        "batch": 2,
        "steps": 4,
        "workers": 0,
        "precision": "32",
        **changes,
    }
    return Recipe.model_validate(content)
