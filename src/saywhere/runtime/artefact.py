"""The ONNX artefact of a network: graphs without weights, and a description of them, in one zip archive."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from saywhere.errors import SaywhereError

VERSION = 2
DESCRIPTION = "description.json"
PREFIX = "model."  # of the weights' names in the graphs
SUFFIX = ".onnx.zip"


@dataclass(frozen=True)
class Artefact:
    """What an archive holds.

    Attributes:
        path: of the archive.
        description: see :func:`saywhere.runtime.export.export_graphs`, which writes it.
        graphs: ONNX models by name.
    """

    path: Path
    description: Mapping[str, Any]
    graphs: Mapping[str, bytes]


def options_of_graph(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a network that its graphs depend on."""
    return {key: value for key, value in options.items() if key != "words"}


def read_artefact(path: Path) -> Artefact:
    """Read an artefact.

    Args:
        path: the archive.

    Raises:
        SaywhereError: it is missing, damaged, or of another version.
    """
    again = f"make it again with: saywhere export graphs WEIGHTS --out {path}"
    try:
        with zipfile.ZipFile(path) as archive:
            description = json.loads(archive.read(DESCRIPTION))
            graphs = {
                name.removesuffix(".onnx"): archive.read(name) for name in archive.namelist() if name != DESCRIPTION
            }
    except FileNotFoundError as error:
        raise SaywhereError(f"ONNX graphs '{path}': no such file; {again}") from error
    except (OSError, zipfile.BadZipFile, KeyError, ValueError) as error:
        raise SaywhereError(f"ONNX graphs '{path}': damaged or no such archive ({error}); {again}") from error
    version = description.get("version") if isinstance(description, dict) else None
    if version != VERSION:
        raise SaywhereError(
            f"ONNX graphs '{path}': version {version}, but this release reads version {VERSION}; {again}"
        )
    return Artefact(path, description, graphs)
