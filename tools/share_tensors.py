"""Move some tensors of a weights file into a file of their own, which several weights files may share.

    python tools/share_tensors.py runs/large/tokens/weights.safetensors \\
        packages/large/src/saywhere_large/saywhere-large.safetensors \\
        --prefix token_encoder. --shared shared/dinov2-vit-small.safetensors

So new weights of the preset large are 10 MB, and the 44 MB of the vision transformer, which is not trained, stay as
they are: a shared file that is there already must have the same tensors.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save

from saywhere.core.atomic import write_atomically
from saywhere.errors import SaywhereError
from saywhere.storage.tensors import SHARED


def share(source: Path, target: Path, prefix: str, shared: str) -> None:
    """Write ``target`` and, beside it, the shared file."""
    with safe_open(source, "pt") as file:
        metadata = dict(file.metadata())
    tensors = load_file(source)
    moved = {name: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if not moved:
        raise SaywhereError(f"weights '{source}': no tensor begins with '{prefix}'")
    path = target.parent / shared
    if path.is_file():
        there = load_file(path)
        if set(there) != set(moved) or any(not torch.equal(there[name], moved[name]) for name in moved):
            raise SaywhereError(f"'{path}': has other tensors than '{source}'; give another name")
    else:
        write_atomically(path, save(moved))
    metadata[SHARED] = json.dumps({"file": shared, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    write_atomically(target, save({name: t for name, t in tensors.items() if name not in moved}, metadata))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path)
    parser.add_argument("target", type=Path)
    parser.add_argument("--prefix", required=True, help="of the names of the tensors that are moved")
    parser.add_argument("--shared", required=True, help="the shared file, as seen from the target's folder")
    arguments = parser.parse_args()
    share(arguments.source, arguments.target, arguments.prefix, arguments.shared)


if __name__ == "__main__":
    main()
