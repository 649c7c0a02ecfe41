"""The mean of weights that were trained from the same beginning, on different crops or with different losses.

A part that only the first has (its recipe's ``model.new``) is taken from there. The mean is measured on the validation
objects that the first one's recipe names.

    .venv/bin/python examples/average.py runs/na/weights.safetensors runs/nb/weights.safetensors runs/nab.safetensors
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from saywhere.errors import SaywhereError
from saywhere.evaluation.validate import validator
from saywhere.models.checkpoint import load_model, save_model


def main(*files: str) -> None:
    *given, out = (Path(file) for file in files)
    loaded = [load_model(path) for path in given]
    first = loaded[0]
    recipe = first.facts.get("recipe", {})
    new = tuple(recipe.get("model", {}).get("new", ()))
    states = [other.model.state_dict() for other in loaded]
    like = {name: tensor.shape for name, tensor in states[0].items()}
    for path, state in zip(given, states, strict=True):
        theirs = {name: tensor.shape for name, tensor in state.items()}
        if {**{n: s for n, s in like.items() if new and n.startswith(new)}, **theirs} != like:
            raise SaywhereError(f"average: '{path}' is of another network than '{given[0]}'; give several of one")
    mean = {
        name: torch.stack([state[name].double() for state in states if name in state]).mean(0).to(tensor.dtype)
        for name, tensor in states[0].items()
    }
    first.model.load_state_dict(mean)
    facts = {k: v for k, v in first.facts.items() if k != "figures"}
    facts["averaged"] = [other.digest for other in loaded]
    measured = recipe.get("validation")
    if measured is not None:
        facts["figures"] = validator(measured["data"], measured["limit"])(first.model)
    save_model(out, first.model, first.name, first.facts["options"], facts)
    print(f"{out}: the mean of {len(loaded)} weights")


if __name__ == "__main__":
    if len(sys.argv) < 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
