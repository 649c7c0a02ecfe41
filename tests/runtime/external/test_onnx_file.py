"""What is read of ONNX files without loading them, and files that cannot be used."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from saywhere.errors import SaywhereError
from saywhere.runtime.external.graph import Graph
from saywhere.runtime.external.names import load_external
from saywhere.runtime.external.onnx_file import Value, read_onnx_file

IMAGE = ("image", [1, 3, 64, 64])
PROMPT = (("features", [1, 8, 4, 4]), ("point_coords", [1, None, 2]), ("point_labels", [1, None]))
Facts = tuple[str, list[int | None]]


def model(
    inputs: tuple[Facts, ...], outputs: tuple[Facts, ...], opset: int = 17, external: bool = False
) -> onnx.ModelProto:
    """A graph whose outputs are sums of a weight and zero times its first input."""
    weight = numpy_helper.from_array(np.ones(400, np.float32), "weight")
    kind = TensorProto.FLOAT
    nodes = [
        helper.make_node("Mul", [inputs[0][0], inputs[0][0]], [name]) if i else
        helper.make_node("Identity", [inputs[0][0]], [name]) for i, (name, _) in enumerate(outputs)
    ]  # fmt: skip
    graph = helper.make_graph(
        [*nodes, helper.make_node("Identity", ["weight"], ["unused"])], "g",
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs],
        [helper.make_tensor_value_info(name, kind, shape) for name, shape in outputs], [weight],
    )  # fmt: skip
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = 8
    if external:
        onnx.external_data_helper.convert_model_to_external_data(made, location="weights.bin", size_threshold=10)
    return made


def write(path: Path, *args: tuple[Facts, ...], **more: int) -> Path:
    onnx.save(model(*args, **more), str(path))
    return path


def test_inputs_outputs_and_opset_are_read(tmp_path: Path) -> None:
    file = read_onnx_file(write(tmp_path / "a.onnx", PROMPT, (("masks", [1, None]),), opset=13))
    assert file.opset == 13
    assert file.inputs[0] == Value("features", "float32", (1, 8, 4, 4))
    assert [value.shape for value in file.inputs[1:]] == [(1, None, 2), (1, None)]
    assert str(file.outputs[0]) == "masks (1 x ?)"
    assert file.external == ()


def test_weights_that_are_listed_as_inputs_are_none(tmp_path: Path) -> None:
    made = model((IMAGE,), (IMAGE,))
    made.graph.input.append(helper.make_tensor_value_info("weight", TensorProto.FLOAT, [400]))
    onnx.save(made, str(tmp_path / "old.onnx"))
    assert [value.name for value in read_onnx_file(tmp_path / "old.onnx").inputs] == ["image"]


def test_weights_beside_the_file_count_and_are_missed(tmp_path: Path) -> None:
    path = write(tmp_path / "big.onnx", (IMAGE,), (IMAGE,), external=True)
    file = read_onnx_file(path)
    assert [each.name for each in file.external] == ["weights.bin"]
    before = file.digest()
    content = bytearray((tmp_path / "weights.bin").read_bytes())
    content[0] ^= 1
    (tmp_path / "weights.bin").write_bytes(content)
    assert file.digest() != before
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(SaywhereError, match=r"its weights are in 'weights\.bin', which is not beside it"):
        read_onnx_file(path)


def test_old_and_new_opsets_are_named(tmp_path: Path) -> None:
    old = write(tmp_path / "old.onnx", (IMAGE,), (IMAGE,), opset=9)
    with pytest.raises(SaywhereError, match="written with opset 9, and 11 or later is expected; export it again"):
        read_onnx_file(old)
    new = Graph(write(tmp_path / "new.onnx", (IMAGE,), (IMAGE,), opset=99))
    with pytest.raises(SaywhereError, match=r"ONNX Runtime .* cannot read it, written with opset 99") as caught:
        new.run({"image": np.zeros(IMAGE[1], np.float32)})
    assert "\n" not in str(caught.value)


def test_other_models_are_described(tmp_path: Path) -> None:
    encoder = write(tmp_path / "encoder.onnx", (IMAGE,), (("features", [1, 8, 4, 4]),))
    classes = write(tmp_path / "classes.onnx", (("tokens", [1, 77]),), (("classes", [1, 10]),))
    whole = write(tmp_path / "whole.onnx", (IMAGE, *PROMPT[1:]), (("masks", [1, 1, 64, 64]),))
    decoder = write(tmp_path / "decoder.onnx", PROMPT, (("masks", [1, 8, 4, 4]), ("scores", [1, 8])))
    other = write(
        tmp_path / "other.onnx", (("features", [1, 9, 4, 4]), *PROMPT[1:]), (("masks", [1, 9, 4, 4]), ("s", [1]))
    )
    for pair, expected in {
        (classes, decoder): r"inputs tokens \(1 x 77\) and the outputs classes \(1 x 10\): neither an encoder",
        (whole, decoder): "encoder and decoder in one file",
        (
            encoder,
            other,
        ): r"takes features \(1 x 9 x 4 x 4\).*gives features \(1 x 8 x 4 x 4\); give the two files of one",
        (encoder, decoder): r"gives? .*masks.*scores|its outputs are .* are expected|masks and .* scores",
    }.items():
        with pytest.raises(SaywhereError, match=expected) as caught:
            load_external(f"sam:{pair[0]},{pair[1]}")
        assert "\n" not in str(caught.value)


@given(cut=st.integers(0, 2000), flip=st.lists(st.tuples(st.integers(0, 2000), st.integers(1, 255)), max_size=8))
@settings(max_examples=150)
def test_damaged_files_are_refused_or_read(tmp_path_factory: pytest.TempPathFactory, cut: int, flip: list) -> None:  # type: ignore[type-arg]
    content = bytearray(model(PROMPT, (("masks", [1, None]),)).SerializeToString())
    for place, by in flip:
        content[place % len(content)] ^= by
    path = tmp_path_factory.mktemp("damaged") / "x.onnx"
    path.write_bytes(content[: len(content) - cut])
    with contextlib.suppress(SaywhereError):
        assert all(value.name is not None for value in read_onnx_file(path).inputs)


def test_nothing_but_the_base_install_is_imported() -> None:
    code = "import sys, saywhere.runtime.external.names; print({'torch', 'onnx'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
