"""Pretrained weights of a backbone: a file, or a repository of timm's on the hub."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from saywhere.data.datasets import locate
from saywhere.errors import SaywhereError, needing

HUB, HUB_FILE = "timm/", "model.safetensors"


def find_pretrained(name: str) -> Path:
    """A safetensors file, as given or under SAYWHERE_DATA, or that of ``timm/NAME``, downloaded once.

    Raises:
        SaywhereError: says which file is missing and where to put it.
    """
    if not name.startswith(HUB) or name.endswith(".safetensors"):
        return locate(name)
    with needing("hub", f"pretrained '{name}'"):
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
    """Those weights of a classifier that a backbone has, in float32.

    Args:
        state: the classifier's weights.
        built: the backbone's state. Input channels after the three colours keep what it has for them.
    """
    # timm flattens the layers of some networks, VGG among them, for their features.
    named = {
        flat if name not in built and (flat := name.replace("features.", "features_", 1)) in built else name: tensor
        for name, tensor in state.items()
    }
    return {
        name: inflate(tensor.float() if tensor.is_floating_point() else tensor, built[name])
        for name, tensor in named.items()
        if name in built
    }


def inflate(weight: Tensor, wider: Tensor) -> Tensor:
    """A convolution's weight with the further input channels of a wider one.

    Args:
        weight: ``(O, I, k, k)``; other tensors are returned as they are.
        wider: ``(O, I', k, k)`` with I' > I.

    Returns:
        ``(O, I', k, k)``: the first I input channels are those of ``weight``.
    """
    if not (weight.ndim == wider.ndim == 4 and weight.shape[1] < wider.shape[1]):
        return weight
    return torch.cat([weight, wider[:, weight.shape[1] :].to(weight)], 1)
