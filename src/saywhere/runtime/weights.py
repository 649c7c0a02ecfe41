"""Weights and the runtime behind them, by name: those that ship, a file, or a repository of the Hugging Face hub."""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from saywhere.core.deprecation import rename_keys
from saywhere.errors import SaywhereError, needing
from saywhere.runtime.artefact import SUFFIX, Artefact, options_of_graph, read_artefact
from saywhere.runtime.base import Runtime
from saywhere.storage.paths import is_file
from saywhere.storage.tensors import check_format, read_tensor_file

WEIGHTS = Path(__file__).parents[1] / "weights"
DEFAULT = "saywhere"
PRESETS = {"small": "saywhere", "large": "saywhere-large"}
PAPERS_PACKAGE, LARGE_PACKAGE = "saywhere_papers", "saywhere_large"
PUBLISHED = {
    "phraseclick": "PhraseClick (Ding et al. 2020)",
    "textclick": "Text+Click (Warner et al. 2023)",
    "dctnet": "DCT-Net (Lin et al. 2021)",
    "sequential": "Sequential Interactive Image Segmentation (Lin et al.)",
    "multistage": "Multi-Stage Fusion (Majumder et al. 2020)",
}
"""The published networks that can be loaded by name, and their papers. Their weights are a package of their own."""
HUB_FILE = "weights.safetensors"
_HUB_NAME = r"[A-Za-z0-9](?:(?:[\w]|[.-](?![.-]))*[A-Za-z0-9_])?"
HUB_ID = re.compile(f"{_HUB_NAME}/{_HUB_NAME}", re.ASCII)  # no "./x", "../x" or "a--b/c", which the hub has not


def papers_folder() -> Path | None:
    """The folder with the weights of published networks; None when their package is not installed."""
    return _package_folder(PAPERS_PACKAGE)


def large_folder() -> Path | None:
    """The folder with the weights of the preset ``large``; None when their package is not installed."""
    return _package_folder(LARGE_PACKAGE)


def _package_folder(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)
    return None if spec is None or spec.origin is None else Path(spec.origin).parent


def shipped() -> dict[str, Path]:
    """The weights that are installed, by name: our own, then those of the published networks."""
    papers, large = papers_folder(), large_folder()
    further = {} if papers is None else {name: papers / f"{name}.safetensors" for name in PUBLISHED}
    if large is not None:
        further = {PRESETS["large"]: large / f"{PRESETS['large']}.safetensors"} | further
    ours = {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}
    return ours | {name: path for name, path in further.items() if path.is_file()}


def known_names() -> tuple[str, ...]:
    """The names that :func:`find_weights` knows, whether their files are there or not."""
    return tuple(dict.fromkeys([*shipped(), *PUBLISHED, *PRESETS]))


def is_name(text: str) -> bool:
    """Whether a text can only be the name of a method: it is neither a file nor written like one, nor a hub id."""
    return "/" not in text and not Path(text).suffix and not is_file(Path(text))


def suggestion(name: str, names: Iterable[str]) -> str:
    """Which names there are, the one that is most like a mistaken name first."""
    near = difflib.get_close_matches(name.lower(), names, 1)
    return f"did you mean '{near[0]}'? names are: {', '.join(names)}" if near else f"names are: {', '.join(names)}"


def find_weights(weights: str | Path | None = None) -> Path:
    """The file of some weights.

    Args:
        weights: None, a preset ("small", "large"), a published network (:data:`PUBLISHED`) or another shipped name, a
            path of a file or of a folder with ``weights.safetensors``, or a hub id ``owner/name``.

    Raises:
        SaywhereError: there are none, or the hub cannot be reached.
    """
    ours = shipped()
    name = DEFAULT if weights is None else str(weights)
    if name in PRESETS and not is_file(Path(name)):
        if PRESETS[name] not in ours:
            present = ", ".join(preset for preset, own in PRESETS.items() if own in ours) or "a file"
            raise SaywhereError(
                f"preset '{name}': its weights are not installed; they are in the package {PRESETS[name]} "
                f"(pip install {PRESETS[name]}; from a clone pip install ./packages/{name}), or use {present}"
            )
        name = PRESETS[name]
    if name in ours:
        return ours[name]
    path = Path(name)
    if is_file(path):
        return path
    if is_file(path / HUB_FILE):
        return path / HUB_FILE
    if name in PUBLISHED:
        raise SaywhereError(
            f"network '{name}': its weights are not installed; they are in the package saywhere-papers "
            f"(pip install saywhere-papers; from a clone pip install ./packages/papers), or train them with "
            f"saywhere train {name}-small --out runs/{name}, and give runs/{name}/weights.safetensors"
        )
    if is_name(name):
        raise SaywhereError(f"weights '{name}': no such name or file; {suggestion(name, known_names())}")
    if path.suffix == ".safetensors" or not HUB_ID.fullmatch(name):
        choice = ", ".join(ours) or "none"
        raise SaywhereError(f"weights '{name}': no such file; shipped are: {choice}; a hub id is owner/name")
    return _from_hub(name)


def _from_hub(name: str) -> Path:
    """The weights file of a repository of the hub, downloaded with its graphs and shared tensors, if it has some."""
    with needing("hub", f"weights '{name}' of the Hugging Face hub"):
        from huggingface_hub import snapshot_download

    patterns = [HUB_FILE, f"{Path(HUB_FILE).stem}{SUFFIX}", "shared/*.safetensors"]
    try:
        file = Path(snapshot_download(name, allow_patterns=patterns)) / HUB_FILE
    # The libraries below the hub's raise errors of their own when there is no network.
    except Exception as error:
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise SaywhereError(
            f"weights '{name}': not a file here, and the hub gave no {HUB_FILE} ({reason}); give a path"
        ) from error
    if not is_file(file):
        raise SaywhereError(f"weights '{name}': this repository of the hub has no {HUB_FILE}")
    return file


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

            onnx = OnnxRuntime(artefact, file.tensors, file.path.stem, file.digest, metadata)
            onnx.source = file.path
            return onnx
        if backend == "onnxruntime":
            raise SaywhereError(
                f"weights '{file.path}': network '{metadata['model']}' with these options has no ONNX graphs; "
                f"make them with: saywhere export graphs {file.path}"
            )
    with needing("torch", f"weights '{file.path}': network '{metadata['model']}' runs on torch"):
        from saywhere.models.checkpoint import load_model
        from saywhere.runtime.fuse import fuse_batch_norms
        from saywhere.runtime.relevance_source import connect_relevance_source
        from saywhere.runtime.torch import TorchRuntime, find_device

    if device is not None:
        find_device(device)  # before memory is taken for the network
    loaded = load_model(file)
    connect_relevance_source(loaded.model, find_weights)
    runtime = TorchRuntime(fuse_batch_norms(loaded.model), file.path.stem, loaded.digest, device, loaded.metadata)
    runtime.source = file.path
    return runtime


def find_artefact(weights: Path, metadata: Mapping[str, Any]) -> Artefact | None:
    """The ONNX graphs for some weights.

    Args:
        weights: the weights file; an artefact beside it, with the same name, comes first.
        metadata: of the weights file.

    Returns:
        That artefact, else one that is installed and whose network has the same options, else None.
    """
    beside = weights.with_name(weights.stem + SUFFIX)
    if beside.is_file():
        return read_artefact(beside)
    folders = [WEIGHTS, *filter(None, [large_folder()])]
    for path in (path for folder in folders for path in sorted(folder.glob(f"*{SUFFIX}"))):
        artefact = read_artefact(path)
        options = rename_keys(metadata["options"], artefact.description["renamed_options"], "weights option ")
        if (metadata["model"], options_of_graph(options)) == (
            artefact.description["network"],
            artefact.description["options"],
        ):
            return artefact
    return None
