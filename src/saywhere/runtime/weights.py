"""Weights and the runtime behind them, by name: those that ship, a file, or a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from saywhere.core.deprecation import rename_keys
from saywhere.errors import SaywhereError, needing
from saywhere.runtime.artefact import SUFFIX, Artefact, options_of_graph, read_artefact
from saywhere.runtime.base import Runtime
from saywhere.storage.tensors import check_format, read_tensor_file

WEIGHTS = Path(__file__).parents[1] / "weights"
DEFAULT = "saywhere"
PRESETS = {"small": "saywhere", "large": "saywhere-large"}
HUB_FILE = "weights.safetensors"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def shipped() -> dict[str, Path]:
    """The weights that came with the package, by name."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def find_weights(weights: str | Path | None = None) -> Path:
    """The file of some weights: None, a preset ("small", "large") or another shipped name, a path, or a hub id
    ``owner/name``.

    Raises SaywhereError when there is none, or the hub cannot be reached.
    """
    ours = shipped()
    name = DEFAULT if weights is None else str(weights)
    if name in PRESETS and not Path(name).is_file():
        if PRESETS[name] not in ours:
            present = ", ".join(preset for preset, own in PRESETS.items() if own in ours) or "a file"
            raise SaywhereError(
                f"preset '{name}': its weights {PRESETS[name]}.safetensors are not in {WEIGHTS}; put them there, "
                f"or use {present}"
            )
        name = PRESETS[name]
    if name in ours:
        return ours[name]
    path = Path(name)
    if path.is_file():
        return path
    if path.suffix == ".safetensors" or not HUB_ID.fullmatch(name):
        choice = ", ".join(ours) or "none"
        raise SaywhereError(f"weights '{name}': no such file; shipped are: {choice}; a hub id is owner/name")
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    with needing("hub", f"weights '{name}' of the Hugging Face hub"):
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(hf_hub_download(name, HUB_FILE))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).strip().splitlines()[0]
        raise SaywhereError(
            f"weights '{name}': not a file here, and the hub gave no {HUB_FILE} ({reason}); give a path"
        ) from error


def load_runtime(weights: str | Path | None = None, device: str | None = None, backend: str | None = None) -> Runtime:
    """The network behind some weights.

    Args:
        weights: see :func:`find_weights`.
        device: a torch device, for example "cuda"; the processor when None.
        backend: "onnxruntime" or "torch"; when None, ONNX Runtime where the network has graphs and the device is the
            processor, else torch.

    Raises:
        SaywhereError: the weights cannot be had, or nothing that is installed runs them.
    """
    if backend not in (None, "onnxruntime", "torch"):
        raise SaywhereError(f"backend '{backend}': choose onnxruntime or torch")
    file = read_tensor_file(find_weights(weights))
    metadata = check_format(file)
    if backend != "torch" and device in (None, "cpu"):
        artefact = find_artefact(file.path, metadata)
        if artefact is not None:
            from saywhere.runtime.onnx import OnnxRuntime

            return OnnxRuntime(artefact, file.tensors, file.path.stem, file.digest, metadata)
        if backend == "onnxruntime":
            raise SaywhereError(
                f"weights '{file.path}': network '{metadata['model']}' with these options has no ONNX graphs; "
                f"make them with: saywhere export graphs {file.path}"
            )
    with needing("torch", f"weights '{file.path}' of network '{metadata['model']}' have no ONNX graphs"):
        from saywhere.models.checkpoint import load_model
        from saywhere.runtime.fuse import fuse_batch_norms
        from saywhere.runtime.relevance_source import connect_relevance_source
        from saywhere.runtime.torch import TorchRuntime

    loaded = load_model(file)
    connect_relevance_source(loaded.model, find_weights)
    return TorchRuntime(fuse_batch_norms(loaded.model), file.path.stem, loaded.digest, device, loaded.metadata)


def find_artefact(weights: Path, metadata: Mapping[str, Any]) -> Artefact | None:
    """The ONNX graphs for some weights.

    Args:
        weights: the weights file; an artefact beside it, with the same name, comes first.
        metadata: of the weights file.

    Returns:
        That artefact, else one that ships and whose network has the same options, else None.
    """
    beside = weights.with_name(weights.stem + SUFFIX)
    if beside.is_file():
        return read_artefact(beside)
    for path in sorted(WEIGHTS.glob(f"*{SUFFIX}")):
        artefact = read_artefact(path)
        options = rename_keys(metadata["options"], artefact.description["renamed_options"], "weights option ")
        if (metadata["model"], options_of_graph(options)) == (
            artefact.description["network"],
            artefact.description["options"],
        ):
            return artefact
    return None
