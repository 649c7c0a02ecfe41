"""What weights say about the training that they come from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from saywhere.training.recipe import Recipe


def shareable(recipe: Recipe) -> dict[str, Any]:
    """A recipe as weights carry it: of absolute paths only the names, since the folders are nobody else's business."""

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(each) for key, each in value.items()}
        if isinstance(value, list):
            return [named(each) for each in value]
        return Path(value).name if isinstance(value, str) and Path(value).is_absolute() else value

    return dict(named(recipe.model_dump(mode="json")))
