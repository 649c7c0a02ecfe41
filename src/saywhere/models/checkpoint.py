"""Weights files: safetensors with metadata that describe the network. Nothing is ever unpickled."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor, nn

from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError
from saywhere.models import build
from saywhere.models.base import InteractiveModel
from saywhere.storage.tensors import FORMAT, TensorFile, check_format, read_tensor_file, rename_prefixes


@dataclass(frozen=True)
class LoadedModel:
    """A network from a weights file.

    Attributes:
        model: in evaluation mode.
        name: the network's name in :data:`saywhere.models.MODELS`.
        digest: hash of the file.
        metadata: of the file.
    """

    model: InteractiveModel
    name: str
    digest: str
    metadata: Mapping[str, Any] = field(repr=False)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write a safetensors file atomically.

    Args:
        path: the file; an existing one stays unchanged until the new one is complete.
        tensors: by name.
        metadata: values become JSON.

    Raises:
        SaywhereError: the file cannot be written.
    """
    text = {key: json.dumps(value, sort_keys=True) for key, value in metadata.items()}
    write_atomically(path, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, text))


def read_tensors(path: Path, kind: str = "weights") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read a safetensors file.

    Args:
        path: the file.
        kind: what error messages call it.

    Returns:
        Its tensors and its metadata.

    Raises:
        SaywhereError: as for :func:`saywhere.storage.tensors.read_tensor_file`.
    """
    file = read_tensor_file(path, kind)
    return to_torch(file), dict(file.metadata)


def to_torch(file: TensorFile) -> dict[str, Tensor]:
    """Copy the tensors of a file to torch."""
    return {name: torch.from_numpy(np.array(tensor)) for name, tensor in file.tensors.items()}


def save_model(
    path: Path, model: nn.Module, name: str, options: Mapping[str, Any], metadata: Mapping[str, Any]
) -> None:
    """Write a weights file.

    Parameters of more than one dimension become float16; biases and batch-norm statistics keep their type.

    Args:
        path: the file.
        model: the network.
        name: its name in :data:`saywhere.models.MODELS`.
        options: with which it was built.
        metadata: further metadata.

    Raises:
        SaywhereError: the file cannot be written.
    """
    state = {k: v.half() if v.is_floating_point() and v.ndim > 1 else v for k, v in model.state_dict().items()}
    write_tensors(path, state, {**metadata, "format": FORMAT, "model": name, "options": dict(options)})


def load_model(source: Path | TensorFile) -> LoadedModel:
    """Load the network that a weights file describes.

    Args:
        source: the file, or its path.

    Raises:
        SaywhereError: the file is missing or damaged, or does not fit the network that it names.
    """
    file = source if isinstance(source, TensorFile) else read_tensor_file(source)
    metadata = check_format(file)
    check_architecture(file, metadata)
    model = build(metadata["model"], metadata["options"])
    load_state(model, rename_prefixes(to_torch(file), model.renamed_parameters), file.path)
    return LoadedModel(model.eval(), metadata["model"], file.digest, metadata)


def check_architecture(file: TensorFile, metadata: Mapping[str, Any]) -> None:
    """Check that tensors fit the network that their metadata name, without memory for that network.

    Raises:
        SaywhereError: there is no network of these options, or it has other tensors.
    """
    try:
        with torch.device("meta"):
            model = build(metadata["model"], metadata["options"])
    except SaywhereError:
        raise
    except Exception as error:  # whatever a layer raises for sizes that it cannot have
        reason = " ".join(str(error).split())[:200]
        raise SaywhereError(f"weights '{file.path}': no network has these options ({reason})") from error
    tensors = rename_prefixes(file.tensors, model.renamed_parameters)
    _check_shapes({name: tuple(tensor.shape) for name, tensor in tensors.items()}, model, file.path)


def load_state(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors into a module.

    Args:
        module: is changed.
        state: tensors by the names of its parameters and buffers.
        path: the file that they come from, for error messages.

    Raises:
        SaywhereError: names or shapes differ from those of the module.
    """
    _check_shapes({name: tuple(tensor.shape) for name, tensor in state.items()}, module, path)
    module.load_state_dict(dict(state))


def _check_shapes(shapes: Mapping[str, tuple[int, ...]], module: nn.Module, path: Path) -> None:
    expected = module.state_dict()
    missing = sorted(expected.keys() - shapes.keys())
    extra = sorted(shapes.keys() - expected.keys())
    misshapen = sorted(k for k in expected.keys() & shapes.keys() if tuple(expected[k].shape) != shapes[k])
    if missing or extra or misshapen:
        faults = [
            f"{verb} {names[0]} and {len(names) - 1} more"
            for verb, names in (("lacks", missing), ("does not know", extra), ("has another shape for", misshapen))
            if names
        ]
        raise SaywhereError(f"weights '{path}': of another architecture ({'; '.join(faults)})")
