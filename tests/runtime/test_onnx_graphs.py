"""Two ONNX models as one that runs either."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from saywhere.runtime.onnx_graphs import select_by_click_count

SHARED = np.arange(4000, dtype=np.float32)


def scaled(by: float, times: int) -> bytes:
    """A model that multiplies the labels ``times`` times, in a loop, and adds the mean of a tensor that all have."""
    loop = helper.make_graph(
        [
            helper.make_node("Mul", ["value", "by"], ["next"]),  # by is of the graph outside
            helper.make_node("Identity", ["go"], ["goes"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("value", TensorProto.FLOAT, [1, None]),
        ],
        [
            helper.make_tensor_value_info("goes", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, [1, None]),
        ],
    )
    nodes = [
        helper.make_node("Loop", ["times", "", "point_labels"], ["scaled"], body=loop),
        helper.make_node("ReduceMean", ["table"], ["mean"], keepdims=0),
        helper.make_node("Add", ["scaled", "mean"], ["masks"]),
    ]
    tensors = [
        numpy_helper.from_array(np.array(by, np.float32), "by"),
        numpy_helper.from_array(np.array(times, np.int64), "times"),
        numpy_helper.from_array(SHARED, "table"),
    ]
    labels, masks = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, "n"]) for n in ("point_labels", "masks"))
    graph = helper.make_graph(nodes, "scaled", [labels], [masks], tensors)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


def run(model: bytes, labels: list[float]) -> NDArray[np.float32]:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {"point_labels": np.array([labels], np.float32)})
    return np.asarray(found)


@pytest.mark.parametrize(
    ("labels", "is_few"),
    [([1, 0], True), ([1, 0, 1], False), ([1, 0, -1, -1], True), ([2, 3, 1, 0], True), ([1, 1, 0, 0, -1], False)],
)
def test_clicks_alone_are_counted(labels: list[float], is_few: bool) -> None:
    few, many = scaled(2.0, 1), scaled(3.0, 2)
    expected = run(few if is_few else many, labels)
    assert (expected != run(many if is_few else few, labels)).any()
    np.testing.assert_array_equal(run(select_by_click_count(few, many, 3), labels), expected)


def test_what_both_have_is_stored_once() -> None:
    few, many = scaled(2.0, 1), scaled(3.0, 2)
    joined = select_by_click_count(few, many, 3)
    onnx.checker.check_model(joined, full_check=True)
    assert len(joined) < len(few) + len(many) - 0.9 * SHARED.nbytes
