"""The mean of several weights of one network (model soups, Wortsman et al. 2022)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saywhere.errors import SaywhereError
from saywhere.models.checkpoint import load_model, save_model

Validate = Callable[[nn.Module], dict[str, float]]


def mean_state(states: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The mean of each tensor over all states that have it; the first one has all of them."""
    return {
        name: torch.stack([state[name].double() for state in states if name in state]).mean(0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }


def average_weights(
    files: Sequence[Path],
    out: Path,
    validator: Callable[[str, int], Validate] | None = None,
    changes: Mapping[str, Any] | None = None,
) -> None:
    """Write the mean of several weights files, with the metadata of the first.

    The files must hold the same network, trained from the same beginning. A part that only the first one has, and that
    its recipe calls new (``model.new``), is taken from there.

    Args:
        files: two weights files or more.
        out: the file to write.
        validator: from a data set's name and a number of objects to a function that measures a network; measures the
            mean on the validation data that the first one's recipe names.
        changes: metadata to write instead of the first one's.

    Raises:
        SaywhereError: a file cannot be read, or holds another network.
    """
    if len(files) < 2:
        raise SaywhereError(f"average: {len(files)} file given; give two or more")
    loaded = [load_model(path) for path in files]
    first = loaded[0]
    recipe = first.metadata.get("recipe", {})
    states = [weights.model.state_dict() for weights in loaded]
    new = tuple(recipe.get("model", {}).get("new", ()))
    shapes = {name: tensor.shape for name, tensor in states[0].items()}
    optional = {name: shape for name, shape in shapes.items() if new and name.startswith(new)}
    for path, state in zip(files, states, strict=True):
        if {**optional, **{name: tensor.shape for name, tensor in state.items()}} != shapes:
            raise SaywhereError(f"average: '{path}' holds another network than '{files[0]}'; give weights of one")
    first.model.load_state_dict(mean_state(states))
    metadata = {key: value for key, value in first.metadata.items() if key != "figures"}
    metadata["averaged"] = [weights.digest for weights in loaded]
    validation = recipe.get("validation")
    if validator is not None and validation is not None:
        metadata["figures"] = validator(validation["data"], validation["limit"])(first.model)
    save_model(out, first.model, first.name, first.metadata["options"], {**metadata, **(changes or {})})
