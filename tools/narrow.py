"""Weights of our network with fewer channels between the layers of its finest level; to be trained further.

    .venv/bin/python tools/narrow.py src/saywhere/weights/saywhere.safetensors 32 runs/narrow.safetensors

Of each layer those channels stay that matter most to the next one: by their root mean square over training crops, times
the norm of the weights that read them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saywhere.models.checkpoint import load_model, save_model
from saywhere.models.saywhere import Saywhere
from saywhere.training.batch import collate
from saywhere.training.dataset import CropDataset
from saywhere.training.recipe_files import read_recipe
from saywhere.training.stages import list_stages

BATCHES = 12
# Layers, each with the layer that reads its output.
PAIRS = {
    "fuse.0.0": "fuse.0.1.0", "up.2.0": "up.2.1.0", "up.2.1": "head.0.0", "head.0": "head.1",
}  # fmt: skip


def channel_mean_squares(model: nn.Module, recipe: str) -> dict[str, Tensor]:
    """The mean square of every channel that a layer of PAIRS makes, over training crops."""
    sums: dict[str, Tensor] = {}

    def record(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Tensor) -> None:
            sums[name] = sums.get(name, torch.zeros(())) + output.square().mean((0, 2, 3))

        return hook

    hooks = [model.get_submodule(name).register_forward_hook(record(name)) for name in PAIRS]
    crops = CropDataset(list_stages(read_recipe(recipe))[-1].recipe)
    with torch.inference_mode():
        for number in range(BATCHES):
            batch = collate([crops[8 * number + i] for i in range(8)])
            model(batch.image.float() / 255.0, batch.prompts)
    for hook in hooks:
        hook.remove()
    return sums


def narrowed(model: nn.Module, options: dict[str, Any], width: int, mean_squares: dict[str, Tensor]) -> Saywhere:
    """The same network with ``width`` channels at its finest level; see :func:`channel_mean_squares`."""
    state = model.state_dict()
    indices = {}
    for layer, mean_square in mean_squares.items():
        reads = state[f"{PAIRS[layer]}.weight"].float().flatten(2).square().sum((0, 2)).sqrt()
        indices[layer] = (mean_square.sqrt() * reads).topk(width).indices.sort().values
    for layer, channels in indices.items():
        for name in [n for n in state if n.startswith(f"{layer}.") and state[n].ndim]:
            state[name] = state[name][channels]
        reader = f"{PAIRS[layer]}.weight"
        state[reader] = state[reader][:, channels]
    if "film.2.weight" in state:
        # Scales and shifts of the finest level come last.
        rows = torch.arange(len(state["film.2.bias"]))
        rows, scales, shifts = rows.split(
            [len(rows) - 2 * len(mean_squares["up.2.1"]), *[len(mean_squares["up.2.1"])] * 2]
        )
        rows = torch.cat([rows, scales[indices["up.2.1"]], shifts[indices["up.2.1"]]])
        state |= {n: state[n][rows] for n in ("film.2.weight", "film.2.bias")}
    narrow = Saywhere(**options, fine=width)
    narrow.load_state_dict(state)
    return narrow


def main(weights: str, fine: str, out: str, recipe: str = "saywhere") -> None:
    loaded = load_model(Path(weights))
    options = {k: v for k, v in loaded.metadata["options"].items() if k != "fine"}
    narrow = narrowed(loaded.model, options, int(fine), channel_mean_squares(loaded.model, recipe))
    metadata = {k: v for k, v in loaded.metadata.items() if k != "figures"}
    save_model(Path(out), narrow, loaded.name, options | {"fine": int(fine)}, metadata | {"narrowed": loaded.digest})
    print(f"{sum(p.numel() for p in narrow.parameters()):,} parameters, {Path(out).stat().st_size:,} bytes")


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(__doc__)
    main(*sys.argv[1:])
