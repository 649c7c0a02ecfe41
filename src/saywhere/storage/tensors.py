"""Safetensors files, read without torch. Nothing is ever unpickled."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from saywhere.core.numbers import describe
from saywhere.errors import SaywhereError

FORMAT = "saywhere-weights-1"
SHARED = "shared_tensors"  # in the metadata: a file with further tensors, which several weights files share
MAX_OPTION = 8192  # of a network's options: the widest layer that any of them has is 2048
BACKBONE = re.compile(r"[\w.]{1,100}")  # no "hf-hub:owner/name", for which a library would go to the network
MAX_OPTION_DEPTH, MAX_OPTION_ITEMS = 3, 5000  # PhraseClick has an option with all of its attributes
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
    name, digest = (shared.get("file"), shared.get("sha256")) if isinstance(shared, dict) else (None, None)
    if not isinstance(name, str) or not isinstance(digest, str) or not _is_below(name):
        raise SaywhereError(f"{what} '{path}': metadata {SHARED}: expected a file below its folder and its sha256")
    further = _read(find_shared(path, name), what)
    if further.digest != digest:
        raise SaywhereError(
            f"{what} '{path}': '{further.path}' is another file than the one that they were trained with; "
            f"its SHA-256 should be {digest}"
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
        metadata = json.loads(content[8 : 8 + length]).get("__metadata__") or {}
        texts = [(str(key), str(value)) for key, value in metadata.items()]
    except MemoryError as error:
        raise SaywhereError(f"{what} '{path}': does not fit into memory") from error
    # AttributeError, TypeError, RecursionError: JSON of another kind, or nested too deep. KeyError: a type of numbers
    # that numpy has not.
    except (SafetensorError, OSError, ValueError, LookupError, AttributeError, TypeError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise SaywhereError(f"{what} '{path}': not a safetensors file, or cut short ({reason})") from error
    decoded = {key: _decode(value) for key, value in texts}
    return TensorFile(path, tensors, decoded, hashlib.sha256(content).hexdigest())


def check_format(file: TensorFile) -> Mapping[str, Any]:
    """Check what every network needs of a weights file, before anything is built from it.

    Returns:
        Its metadata.

    Raises:
        SaywhereError: the file holds something else, its metadata are of another kind, an option is beyond what a
            network can have, a weight is NaN or infinite, or a variance is negative.
    """
    metadata, place = file.metadata, f"weights '{file.path}'"
    kind = metadata.get("format")
    if kind != FORMAT or not {"model", "options"} <= metadata.keys():
        raise SaywhereError(f"{place}: not saywhere weights (format {describe(kind)}, not {FORMAT})")
    if not isinstance(metadata["model"], str):
        raise SaywhereError(f"{place}: metadata model {describe(metadata['model'])}: expected the name of a network")
    if not isinstance(metadata["options"], dict):
        raise SaywhereError(f"{place}: metadata options {describe(metadata['options'])}: expected names and values")
    for name, value in metadata["options"].items():
        _check_option(value, f"{place}: option {describe(name)}", 0)
    backbone = metadata["options"].get("backbone")
    if backbone is not None and not (isinstance(backbone, str) and BACKBONE.fullmatch(backbone)):
        raise SaywhereError(f"{place}: option backbone {describe(backbone)}: expected the name of a backbone")
    for name in ("phrases", "equal_to"):
        values = metadata.get(name)
        if values is not None and not (isinstance(values, list) and all(isinstance(each, str) for each in values)):
            raise SaywhereError(f"{place}: metadata {name} {describe(values)}: expected a list of texts")
    check_finite(file.tensors, place)
    return metadata


def check_finite(tensors: Mapping[str, NDArray[Any]], place: str) -> None:
    """SaywhereError where a weight is NaN or infinite, or a variance negative: such a network answers with nothing."""
    for name, tensor in tensors.items():
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise SaywhereError(f"{place}: tensor '{name}' holds NaN or infinite values; the file is damaged")
        if name.endswith(".running_var") and (tensor < 0).any():
            raise SaywhereError(f"{place}: tensor '{name}' holds negative variances; the file is damaged")


def _check_option(value: Any, place: str, depth: int) -> None:
    """Numbers are sizes and counts: none is negative, or so large that a network of it would not fit into memory."""
    if isinstance(value, (list, dict)) and depth < MAX_OPTION_DEPTH and len(value) <= MAX_OPTION_ITEMS:
        for each in value.values() if isinstance(value, dict) else value:
            _check_option(each, place, depth + 1)
    elif isinstance(value, (list, dict)):
        raise SaywhereError(f"{place}: nested too deep, or more than {MAX_OPTION_ITEMS} values")
    elif isinstance(value, (int, float)) and not 0 <= value <= MAX_OPTION:
        raise SaywhereError(f"{place} is {describe(value)}: expected a number from 0 to {MAX_OPTION:,}")


def _is_below(name: str) -> bool:
    parts = PurePosixPath(name.replace("\\", "/")).parts
    return bool(parts) and not PurePosixPath(name).is_absolute() and not {"..", "/"} & {*parts} and "\0" not in name


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
    except (ValueError, RecursionError):
        return text
