"""The weights that a backbone begins with: a file, or a repository of timm's on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from saywhere.data.datasets import locate
from saywhere.errors import SaywhereError

HUB, HUB_FILE = "timm/", "model.safetensors"


def find_pretrained(name: str) -> Path:
    """A safetensors file, as given or under SAYWHERE_DATA, or that of ``timm/NAME``, downloaded once.

    Raises SaywhereError, saying which file is missing and where to put it.
    """
    if not name.startswith(HUB) or name.endswith(".safetensors"):
        return locate(name)
    from huggingface_hub import hf_hub_download

    try:
        return Path(hf_hub_download(name, HUB_FILE))
    except Exception as error:  # hubs and connections fail in many ways
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise SaywhereError(
            f"pretrained '{name}': the hub gave no {HUB_FILE} ({reason}); download it from "
            f"https://huggingface.co/{name} and give its path as the recipe's model.pretrained"
        ) from error


def select(state: Mapping[str, Tensor], built: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Of a classifier's weights, those that a backbone has, in float32.

    A first layer that also takes other channels than colours keeps what it was built with for them.
    """
    found = {}
    for name, tensor in state.items():
        if name in built:
            tensor = tensor.float() if tensor.is_floating_point() else tensor
            like = built[name]
            found[name] = inflate(tensor, like)
    return found


def inflate(weight: Tensor, onto: Tensor) -> Tensor:
    """A convolution's weight for more channels than it had; the further ones are those of ``onto``."""
    if not (weight.ndim == onto.ndim == 4 and weight.shape[1] < onto.shape[1]):
        return weight
    return torch.cat([weight, onto[:, weight.shape[1] :].to(weight)], 1)
