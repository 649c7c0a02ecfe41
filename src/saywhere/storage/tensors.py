"""Safetensors files, read without torch. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from saywhere.errors import SaywhereError

FORMAT = "saywhere-weights-1"
SHARED = "shared_tensors"  # in the metadata: a file with further tensors, which several weights files share
SHIPPED = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class TensorFile:
    """A safetensors file.

    Attributes:
        path: where it was read from.
        tensors: by name.
        metadata: by name; values that are JSON are decoded.
        digest: SHA-256 of the very bytes of the file; its metadata name the digest of a shared file.
    """

    path: Path
    tensors: Mapping[str, NDArray[np.generic]] = field(repr=False)
    metadata: Mapping[str, Any] = field(repr=False)
    digest: str


def read_tensor_file(path: Path, what: str = "weights") -> TensorFile:
    """Read a safetensors file whole, once, and the shared file that its metadata name.

    It is not mapped into memory, because another process may replace the file at any moment.

    Args:
        path: the file.
        what: what error messages call it.

    Raises:
        SaywhereError: it is missing, cut short, or of another format, or the shared file is missing or another one.
    """
    file = _read(path, what)
    if SHARED not in file.metadata:
        return file
    shared = file.metadata[SHARED]
    further = _read(find_shared(path, shared["file"]), what)
    if further.digest != shared["sha256"]:
        raise SaywhereError(
            f"{what} '{path}': '{further.path}' is another file than the one that they were trained with; "
            f"its SHA-256 should be {shared['sha256']}"
        )
    return replace(file, tensors={**file.tensors, **further.tensors})


def find_shared(path: Path, name: str) -> Path:
    """The file with the shared tensors of a weights file: beside it, or with those that ship.

    Args:
        path: the weights file.
        name: as its metadata have it, relative to its folder.

    Raises:
        SaywhereError: it is in neither place.
    """
    places = [path.parent / name, SHIPPED / name]
    for place in places:
        if place.is_file():
            return place
    raise SaywhereError(f"weights '{path}': '{places[0]}' is missing, which holds a part of them; put it there")


def _read(path: Path, what: str) -> TensorFile:
    if not path.is_file():
        raise SaywhereError(f"{what} '{path}': no such file")
    try:
        content = path.read_bytes()
        tensors = load(content)
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise SaywhereError(f"{what} '{path}': not a safetensors file, or cut short ({error})") from error
    decoded = {key: _decode(value) for key, value in metadata.items()}
    return TensorFile(path, tensors, decoded, hashlib.sha256(content).hexdigest())


def check_format(file: TensorFile) -> Mapping[str, Any]:
    """The metadata of a weights file.

    Raises:
        SaywhereError: the file holds something else.
    """
    kind = file.metadata.get("format")
    if kind != FORMAT or not {"model", "options"} <= file.metadata.keys():
        raise SaywhereError(f"weights '{file.path}': not saywhere weights (format {kind}, not {FORMAT})")
    return file.metadata


def rename_prefixes(tensors: Mapping[str, Any], prefixes: Mapping[str, str]) -> dict[str, Any]:
    """Give tensors of an earlier release today's names.

    Args:
        tensors: by name.
        prefixes: old prefix to new prefix.

    Example:
        >>> rename_prefixes({"reader.weight": 1, "head.bias": 2}, {"reader.": "phrase_encoder."})
        {'phrase_encoder.weight': 1, 'head.bias': 2}
    """
    renamed = {}
    for name, tensor in tensors.items():
        old = next((prefix for prefix in prefixes if name.startswith(prefix)), "")
        renamed[prefixes.get(old, "") + name.removeprefix(old)] = tensor
    return renamed


def _decode(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
