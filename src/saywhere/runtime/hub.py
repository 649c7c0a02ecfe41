"""Weights as a folder that the Hugging Face hub shows: the file, its graphs, a configuration and a model card."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError, needing
from saywhere.runtime.artefact import SUFFIX
from saywhere.runtime.weights import HUB_FILE, HUB_ID, find_artefact, find_weights, shipped
from saywhere.storage.tensors import SHARED, check_format, find_shared, read_tensor_file

LICENCES = {"saywhere": "apache-2.0", "saywhere-large": "apache-2.0"}
"""Of weights that ship, by name. What other weights may be used for depends on their training data."""
FIGURES = {"miou1": "mIoU after one click", "miou5": "mIoU after five clicks", "noc85": "NoC@85", "noc90": "NoC@90"}


@dataclass(frozen=True)
class Pretrained:
    """Weights that are installed.

    Attributes:
        name: what :func:`saywhere.load` takes.
        network: the network's name.
        path: the file.
        size: of the file and of one that it shares with others, in bytes.
        digest: SHA-256 of the file.
        data: the data sets that it was trained on.
    """

    name: str
    network: str
    path: Path
    size: int
    digest: str
    data: tuple[str, ...]


def pretrained() -> dict[str, Pretrained]:
    """The weights that are installed, by name, with their digests.

    Raises:
        SaywhereError: a file is damaged.

    Example:
        >>> pretrained()["saywhere"].network
        'saywhere'
    """
    catalogue = {}
    for name, path in shipped().items():
        file = read_tensor_file(path)
        size = path.stat().st_size
        if shared := file.metadata.get(SHARED):
            size += find_shared(path, shared["file"]).stat().st_size
        data = tuple(file.metadata.get("data", ()))
        catalogue[name] = Pretrained(name, file.metadata["model"], path, size, file.digest, data)
    return catalogue


def save_pretrained(weights: str | Path | None, folder: str | Path) -> Path:
    """Write weights as a folder that :func:`saywhere.load` and the Hugging Face hub take.

    The folder gets ``weights.safetensors``, the ONNX graphs where the network has some, ``config.json`` and a model
    card, ``README.md``. Other files in it stay as they are.

    Args:
        weights: as for :func:`saywhere.load`.
        folder: is created if it is not there.

    Returns:
        The folder.

    Raises:
        SaywhereError: the weights cannot be had, or the folder cannot be written.

    Example:
        >>> import tempfile
        >>> folder = save_pretrained(None, tempfile.mkdtemp())
        >>> sorted(path.name for path in folder.iterdir())
        ['README.md', 'config.json', 'weights.onnx.zip', 'weights.safetensors']
    """
    source, folder = find_weights(weights), Path(folder)
    file = read_tensor_file(source)
    metadata = check_format(file)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SaywhereError(f"folder '{folder}': cannot be made ({error.strerror})") from error
    if shared := metadata.get(SHARED):
        path = find_shared(source, shared["file"])
        (folder / shared["file"]).parent.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / shared["file"], path.read_bytes())
    artefact = find_artefact(source, metadata)
    if artefact is not None:
        write_atomically(folder / f"{Path(HUB_FILE).stem}{SUFFIX}", artefact.path.read_bytes())
    name = next((known for known, path in shipped().items() if path == source), source.stem)
    config = {
        "library": "saywhere",
        "network": metadata["model"],
        "options": metadata["options"],
        "sha256": file.digest,
    }
    write_atomically(folder / "config.json", (json.dumps(config, indent=2, sort_keys=True) + "\n").encode())
    write_atomically(folder / "README.md", model_card(name, metadata, file.digest).encode())
    write_atomically(folder / HUB_FILE, source.read_bytes())
    return folder


def push_to_hub(weights: str | Path | None, repository: str, private: bool = False) -> str:
    """Upload weights to the Hugging Face hub, as :func:`save_pretrained` writes them.

    Args:
        weights: as for :func:`saywhere.load`.
        repository: ``owner/name``; it is created if it is not there.
        private: whether a new repository is private.

    Returns:
        The address of the commit.

    Raises:
        SaywhereError: the weights cannot be had, huggingface-hub is not installed, the id is none, or the hub refuses.
    """
    import tempfile

    if not HUB_ID.fullmatch(repository):
        raise SaywhereError(f"repository '{repository}': give owner/name")
    with needing("hub", f"uploading to '{repository}'"):
        from huggingface_hub import HfApi

    with tempfile.TemporaryDirectory() as folder:
        save_pretrained(weights, folder)
        try:
            api = HfApi()
            api.create_repo(repository, private=private, exist_ok=True)
            return str(api.upload_folder(folder_path=folder, repo_id=repository, commit_message="Saywhere weights"))
        except Exception as error:  # the hub's and its libraries' exceptions have no common class
            reason = next(iter(str(error).strip().splitlines()), type(error).__name__)
            raise SaywhereError(
                f"repository '{repository}': the hub did not take the weights ({reason}); log in with hf auth login"
            ) from error


def model_card(name: str, metadata: Mapping[str, Any], digest: str) -> str:
    """A model card in the hub's format: what its metadata say of a weights file, and how it is used.

    Args:
        name: of the weights.
        metadata: of the file.
        digest: SHA-256 of the file.
    """
    head = ["---", "library_name: saywhere", "pipeline_tag: mask-generation"]
    if name in LICENCES:
        head.append(f"license: {LICENCES[name]}")
    head += ["tags:", "- interactive-segmentation", "- image-segmentation", f"- {metadata['model']}", "---"]
    data = ", ".join(f"`{path}`" for path in metadata.get("data", ())) or "its file does not say"
    figures = metadata.get("figures") or {}
    recipe, steps = metadata.get("recipe_name") or "its own", metadata.get("step", "unknown")
    known = [(text, figures[key]) for key, text in FIGURES.items() if isinstance(figures.get(key), int | float)]
    lines = [
        *head,
        "",
        f"# {name}",
        "",
        f"Weights of the network `{metadata['model']}` for [Saywhere](https://pypi.org/project/saywhere/): a click, "
        "drag, box or phrase gives the mask of an object.",
        "",
        "```python",
        "import saywhere",
        "",
        'segmenter = saywhere.load("OWNER/NAME")  # this repository, or a folder with its files',
        'segmenter.set_image("photo.jpg")',
        "mask = segmenter.click(312, 140)",
        "```",
        "",
        "## Training",
        "",
        f"- Data: {data}.",
        f"- Recipe: `{recipe}`; steps of the last run: {steps}.",
        f"- Options of the network: `{json.dumps(metadata['options'], sort_keys=True)}`.",
    ]
    if known:
        lines += ["", "## Validation during training", "", "| figure | value |", "| --- | --- |"]
        lines += [f"| {text} | {value:.3f} |" for text, value in known]
        lines += ["", "On the recipe's validation objects, which the training watched; test sets are not among them."]
    return "\n".join([*lines, "", f"SHA-256 of `{HUB_FILE}`: `{digest}`", ""])
