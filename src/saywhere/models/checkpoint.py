"""Weights on disk: safetensors whose metadata say what they are. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from saywhere.errors import SaywhereError
from saywhere.models import build
from saywhere.models.base import InteractiveModel
from saywhere.storage.atomic import write_atomically

FORMAT = "saywhere-weights-1"


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
    """Tensors and metadata of a safetensors file; SaywhereError when it is missing, cut short or another format."""
    if not path.is_file():
        raise SaywhereError(f"{what} '{path}': no such file")
    try:
        # Read whole, not mapped: another process may replace the file at any moment.
        content = path.read_bytes()
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, OSError, ValueError) as error:
        raise SaywhereError(f"{what} '{path}': not a safetensors file, or cut short ({error})") from error
    return tensors, {key: _json(value) for key, value in metadata.items()}


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def save_model(path: Path, model: nn.Module, name: str, options: Mapping[str, Any], facts: Mapping[str, Any]) -> None:
    """Write a network's weights with its name and options; matrices in float16, statistics as they are."""
    state = {k: v.half() if v.is_floating_point() and v.ndim > 1 else v for k, v in model.state_dict().items()}
    write_tensors(path, state, {**facts, "format": FORMAT, "model": name, "options": dict(options)})


def load_model(path: Path) -> Loaded:
    """The network that a weights file describes, in evaluation mode.

    Raises SaywhereError when the file is missing, damaged, or does not fit the architecture it names.
    """
    state, metadata = read_tensors(path)
    if metadata.get("format") != FORMAT:
        raise SaywhereError(f"weights '{path}': not saywhere weights (format {metadata.get('format')}, not {FORMAT})")
    model = build(metadata["model"], metadata["options"])
    fill(model, rename_parameters(state, model.renamed_parameters), path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return Loaded(model.eval(), metadata["model"], digest, metadata)


def rename_parameters(state: Mapping[str, Tensor], prefixes: Mapping[str, str]) -> dict[str, Tensor]:
    """Tensors of an earlier release under today's names.

    Args:
        state: tensors by name.
        prefixes: old prefix to new prefix.
    """
    renamed = {}
    for name, tensor in state.items():
        old = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
        renamed[prefixes.get(old, "") + name.removeprefix(old)] = tensor
    return renamed


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
