"""Move the tensors of a weights file that were not trained into a file of their own, which other weights can share.

    python tools/share_tensors.py runs/saywhere-large/weights.safetensors token_encoder. \\
        src/saywhere/weights/saywhere-large.safetensors shared/dinov2-vit-s14.safetensors

The shared file is written once; where it is there already, its tensors must be the same.
"""

from __future__ import annotations

import sys
from pathlib import Path

from saywhere.errors import SaywhereError
from saywhere.models.checkpoint import read_tensors, write_tensors
from saywhere.storage.tensors import SHARED, read_tensor_file


def share(weights: Path, prefix: str, out: Path, name: str) -> None:
    """Write ``out`` without the tensors whose names begin with ``prefix``, and these into ``name`` beside it."""
    tensors, metadata = read_tensors(weights)
    moved = {key: value for key, value in tensors.items() if key.startswith(prefix)}
    shared = out.parent / name
    if not shared.exists():
        shared.parent.mkdir(parents=True, exist_ok=True)
        write_tensors(shared, moved, {})
    present = read_tensors(shared)[0]
    if present.keys() != moved.keys() or not all(bool((present[key] == moved[key]).all()) for key in moved):
        raise SaywhereError(f"'{shared}': has other tensors than '{weights}'")
    metadata[SHARED] = {"file": name, "sha256": read_tensor_file(shared).digest}
    write_tensors(out, {key: value for key, value in tensors.items() if key not in moved}, metadata)


if __name__ == "__main__":
    share(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3]), sys.argv[4])
