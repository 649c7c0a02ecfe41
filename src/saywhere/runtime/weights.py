"""From a name to a Segmenter: the weights that ship, a file, or a repository of the Hugging Face hub."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from saywhere.errors import SaywhereError, needing

if TYPE_CHECKING:
    from saywhere.runtime.torch import TorchRuntime

WEIGHTS = Path(__file__).parents[1] / "weights"
DEFAULT = "saywhere"
HUB_FILE = "weights.safetensors"
HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def shipped() -> dict[str, Path]:
    """The weights that came with the package, by name."""
    return {path.stem: path for path in sorted(WEIGHTS.glob("*.safetensors"))}


def find_weights(weights: str | Path | None = None) -> Path:
    """The file of some weights: None or a shipped name, a path, or a hub id ``owner/name``.

    Raises SaywhereError when there is none, or the hub cannot be reached.
    """
    ours = shipped()
    name = DEFAULT if weights is None else str(weights)
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


def load_runtime(weights: str | Path | None = None, device: str | None = None) -> TorchRuntime:
    """The network behind some weights (see :func:`find_weights`) on a torch device; the GPU if there is one."""
    from saywhere.models.checkpoint import load_model
    from saywhere.models.saywhere import Saywhere
    from saywhere.runtime.fuse import fuse_batch_norms
    from saywhere.runtime.onnx import Graphs
    from saywhere.runtime.relevance_source import connect_relevance_source
    from saywhere.runtime.torch import TorchRuntime

    path = find_weights(weights)
    loaded = load_model(path)
    connect_relevance_source(loaded.model, find_weights)
    runtime = TorchRuntime(fuse_batch_norms(loaded.model), path.stem, loaded.digest, device, loaded.metadata)
    if runtime.device.type == "cpu" and isinstance(runtime.model, Saywhere):
        runtime.model.graphs = Graphs.of(runtime.model, loaded.metadata["options"])
    return runtime
