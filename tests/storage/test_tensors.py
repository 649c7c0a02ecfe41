"""Safetensors files read without torch."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save

from saywhere import SaywhereError
from saywhere.storage.tensors import FORMAT, check_format, read_tensor_file


def write(path: Path, **metadata: object) -> bytes:
    tensors = {"w": np.arange(6, dtype=np.float16).reshape(2, 3), "n": np.array(7)}
    content = save(tensors, {key: json.dumps(value) for key, value in metadata.items()})
    path.write_bytes(content)
    return content


def test_tensors_metadata_and_digest_come_from_the_same_bytes(tmp_path: Path) -> None:
    content = write(tmp_path / "a.safetensors", format=FORMAT, model="x", options={"key": 3})
    file = read_tensor_file(tmp_path / "a.safetensors")
    assert file.tensors["w"].tolist() == [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    assert file.metadata == {"format": FORMAT, "model": "x", "options": {"key": 3}}
    assert file.digest == hashlib.sha256(content).hexdigest()
    assert check_format(file) is file.metadata


@pytest.mark.parametrize("keep", [0, 7, 60, -1])
def test_a_file_that_is_cut_short_is_named(tmp_path: Path, keep: int) -> None:
    content = write(tmp_path / "a.safetensors", format=FORMAT)
    (tmp_path / "b.safetensors").write_bytes(content[:keep])
    with pytest.raises(SaywhereError, match=r"weights '.*b.safetensors': not a safetensors file, or cut short"):
        read_tensor_file(tmp_path / "b.safetensors")


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SaywhereError, match=r"checkpoint '.*none': no such file"):
        read_tensor_file(tmp_path / "none", "checkpoint")
    for metadata in ({}, {"format": "saywhere-weights-0", "model": "x", "options": {}}, {"format": FORMAT}):
        write(tmp_path / "a.safetensors", **metadata)
        with pytest.raises(SaywhereError, match="not saywhere weights"):
            check_format(read_tensor_file(tmp_path / "a.safetensors"))
