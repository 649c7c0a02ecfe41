"""Weights on disk: safetensors whose metadata say what they are. Nothing is ever unpickled."""

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

from saywhere.errors import SaywhereError
from saywhere.models import build
from saywhere.models.base import InteractiveModel
from saywhere.storage.atomic import write_atomically
from saywhere.storage.tensors import FORMAT, TensorFile, check_format, read_tensor_file, rename_prefixes


@dataclass(frozen=True)
class Loaded:
    """A network ready to use, with what its file says of it."""

    model: InteractiveModel
    name: str
    digest: str
    metadata: Mapping[str, Any] = field(repr=False)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, Any]) -> None:
    """Write atomically: the old file stays until the new one is whole on the disk.

    Metadata values become JSON. Raises SaywhereError when the disk refuses.
    """
    text = {key: json.dumps(value, sort_keys=True) for key, value in metadata.items()}
    write_atomically(path, save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}, text))


def read_tensors(path: Path, what: str = "weights") -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and metadata of a safetensors file; errors as :func:`saywhere.storage.tensors.read_tensor_file`."""
    file = read_tensor_file(path, what)
    return as_tensors(file), dict(file.metadata)


def as_tensors(file: TensorFile) -> dict[str, Tensor]:
    """The tensors of a file as torch's."""
    return {name: torch.from_numpy(np.array(tensor)) for name, tensor in file.tensors.items()}


def save_model(path: Path, model: nn.Module, name: str, options: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a network's weights with its name and options; matrices in float16, statistics as they are."""
    state = {k: v.half() if v.is_floating_point() and v.ndim > 1 else v for k, v in model.state_dict().items()}
    write_tensors(path, state, {**facts, "format": FORMAT, "model": name, "options": dict(options)})


def load_model(source: Path | TensorFile) -> Loaded:
    """The network that a weights file describes, in evaluation mode.

    Args:
        source: the file's path, or the file as it was read.

    Raises:
        SaywhereError: the file is missing, damaged, or does not fit the architecture it names.
    """
    file = source if isinstance(source, TensorFile) else read_tensor_file(source)
    metadata = check_format(file)
    model = build(metadata["model"], metadata["options"])
    fill(model, rename_prefixes(as_tensors(file), model.renamed_parameters), file.path)
    return Loaded(model.eval(), metadata["model"], file.digest, metadata)


def fill(module: nn.Module, state: Mapping[str, Tensor], path: Path) -> None:
    """Load tensors into a module; SaywhereError with the first names that do not fit."""
    expected = module.state_dict()
    lacking = sorted(expected.keys() - state.keys())
    extra = sorted(state.keys() - expected.keys())
    wrong = sorted(k for k in expected.keys() & state.keys() if expected[k].shape != state[k].shape)
    if lacking or extra or wrong:
        faults = [
            f"{word} {names[0]} and {len(names) - 1} more"
            for word, names in (("lacks", lacking), ("does not know", extra), ("has another shape for", wrong))
            if names
        ]
        raise SaywhereError(f"weights '{path}': of another architecture ({'; '.join(faults)})")
    module.load_state_dict(dict(state))
