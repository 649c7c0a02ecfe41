"""Weights files that cannot be used: each is one line, before memory is taken for their network."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

from saywhere import SaywhereError
from saywhere.runtime.weights import find_weights, load_runtime, shipped
from saywhere.storage.tensors import read_tensor_file


@pytest.fixture(scope="module")
def file():
    return read_tensor_file(shipped()["saywhere"])


def write(path: Path, file: Any, tensors: dict[str, Any] | None = None, **metadata: Any) -> Path:
    values = {**file.metadata, **metadata}
    texts = {key: value if isinstance(value, RawText) else json.dumps(value) for key, value in values.items()}
    path.write_bytes(save({**file.tensors, **(tensors or {})}, texts))
    return path


class RawText(str):
    """A value that is not written as JSON."""


@pytest.mark.parametrize(
    ("metadata", "reason"),
    [
        ({"options": None}, "options None"),
        ({"options": [1]}, r"options \[1\]"),
        ({"options": RawText("[" * 100_000)}, "expected names and values"),
        ({"options": RawText('{"fine": ' + "[" * 500 + "]" * 500 + "}")}, "nested too deep"),
        ({"options": {"fine": 10_000_000}}, "fine' is 10000000: expected a number from 0 to 8,192"),
        ({"options": {"fine": -3}}, "expected a number from 0"),
        ({"options": RawText('{"fine": NaN}')}, "expected a number from 0"),
        ({"options": {"widths": [48, 64, 96, 10**30]}}, "expected a number from 0"),
        ({"options": {"backbone": "hf-hub:owner/name"}}, "option backbone"),
        ({"options": {"backbone": 5}}, "option backbone"),
        ({"model": None}, "model None"),
        ({"format": None}, "not saywhere weights"),
        ({"phrases": [5]}, "phrases"),
        ({"equal_to": 5}, "equal_to"),
        ({"shared_tensors": None}, "shared_tensors"),
        ({"shared_tensors": {"file": "../../etc/passwd", "sha256": "0"}}, "shared_tensors"),
        ({"shared_tensors": {"file": "/etc/passwd", "sha256": "0"}}, "shared_tensors"),
    ],
)
def test_metadata_that_cannot_be(tmp_path: Path, file: Any, metadata: dict[str, Any], reason: str) -> None:
    path = write(tmp_path / "w.safetensors", file, **metadata)
    start = time.perf_counter()
    with pytest.raises(SaywhereError, match=reason) as caught:
        load_runtime(path)
    assert "\n" not in str(caught.value)
    assert time.perf_counter() - start < 10


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_no_numbers_are_refused(tmp_path: Path, file: Any, value: float) -> None:
    """They would answer every prompt with an empty mask and a score of 0."""
    name = next(name for name, tensor in file.tensors.items() if tensor.ndim == 4)
    tensor = np.array(file.tensors[name])
    tensor.flat[7] = value
    with pytest.raises(SaywhereError, match=f"tensor '{name}' holds NaN or infinite values"):
        load_runtime(write(tmp_path / "w.safetensors", file, {name: tensor}))


@pytest.mark.parametrize("part", ["encoder.", "learned_relevance.", "attention."])
def test_negative_variances_are_refused(tmp_path: Path, file: Any, part: str) -> None:
    """Also those of a part that is only used with a phrase."""
    name = min(name for name in file.tensors if name.startswith(part) and name.endswith("running_var"))
    with pytest.raises(SaywhereError, match=f"tensor '{name}' holds negative variances"):
        load_runtime(write(tmp_path / "w.safetensors", file, {name: -1.0 - np.abs(file.tensors[name])}))


def test_tensors_of_other_lengths_are_refused(tmp_path: Path, file: Any) -> None:
    convolutions = [name for name in sorted(file.tensors) if file.tensors[name].ndim == 4]
    name = next(name for name in convolutions if len(file.tensors[name]) > 1)
    with pytest.raises(SaywhereError, match="architecture"):
        load_runtime(write(tmp_path / "w.safetensors", file, {name: file.tensors[name][:1]}))


def test_options_of_another_network_are_refused_without_memory_for_it(tmp_path: Path, file: Any) -> None:
    pytest.importorskip("torch")
    options = {**file.metadata["options"], "fine": 8192, "widths": [8192] * 4}
    with pytest.raises(SaywhereError, match="another architecture"):
        load_runtime(write(tmp_path / "w.safetensors", file, options=options))


@pytest.mark.parametrize("header", [b'{"__metadata__":null}', b"[]", b"[" * 100_000, b"", b'{"a":5}'])
def test_headers_that_are_none(tmp_path: Path, header: bytes) -> None:
    (tmp_path / "w.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(SaywhereError, match="weights"):
        load_runtime(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    "name", ["./x", "../foo", "a--b/c", "a/b..c", "-a/b", "a/.b", "a\0b", "x" * 5000, ".", "a/b/c"]
)
def test_names_that_are_no_hub_id_are_missing_files(name: str) -> None:
    with pytest.raises(SaywhereError, match=r"no such (name or )?file"):
        find_weights(name)


def test_the_preset_large_is_a_package_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("saywhere.runtime.weights.large_folder", lambda: None)
    with pytest.raises(SaywhereError, match=r"preset 'large'.*not installed.*pip install saywhere-large.*or use small"):
        find_weights("large")
    monkeypatch.setattr("saywhere.runtime.weights.large_folder", lambda: tmp_path)
    assert "saywhere-large" not in shipped()  # the package is there, its file is not
    (tmp_path / "saywhere-large.safetensors").write_bytes(b"")
    assert find_weights("large") == find_weights("saywhere-large") == tmp_path / "saywhere-large.safetensors"
