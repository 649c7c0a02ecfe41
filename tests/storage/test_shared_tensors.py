"""Weights files that share a file with further tensors."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from saywhere import SaywhereError
from saywhere.storage.tensors import read_tensor_file


def write_pair(folder: Path, digest: str | None = None) -> Path:
    shared = folder / "shared" / "encoder.safetensors"
    shared.parent.mkdir(exist_ok=True)
    save_file({"encoder.weight": np.arange(3.0)}, shared)
    sha256 = hashlib.sha256(shared.read_bytes()).hexdigest() if digest is None else digest
    facts = json.dumps({"file": "shared/encoder.safetensors", "sha256": sha256})
    save_file({"head.weight": np.ones(2)}, folder / "own.safetensors", {"shared_tensors": facts})
    return folder / "own.safetensors"


def test_both_files_make_the_weights(tmp_path: Path) -> None:
    file = read_tensor_file(write_pair(tmp_path))
    assert file.tensors["encoder.weight"].tolist() == [0.0, 1.0, 2.0]
    assert file.tensors["head.weight"].tolist() == [1.0, 1.0]
    assert file.digest == hashlib.sha256((tmp_path / "own.safetensors").read_bytes()).hexdigest()


def test_a_missing_shared_file_is_named(tmp_path: Path) -> None:
    path = write_pair(tmp_path)
    (tmp_path / "shared" / "encoder.safetensors").unlink()
    with pytest.raises(SaywhereError, match=r"encoder\.safetensors' is missing"):
        read_tensor_file(path)


def test_another_shared_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SaywhereError, match="another file than the one"):
        read_tensor_file(write_pair(tmp_path, "0" * 64))
