"""ONNX models that were exported, changed as a whole. Needs onnx."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

import onnx
from onnx import GraphProto, ModelProto, TensorProto, compose, helper

LABELS = "point_labels"  # the input with the labels of clicks: 1 object, 0 background, others no clicks


def declare_outputs(model: bytes, shapes: Mapping[str, Sequence[int | str]]) -> bytes:
    """A model whose outputs have shapes that a program can read without running it.

    Args:
        model: ONNX.
        shapes: of its outputs by name; a word for a side that varies.

    Returns:
        The model.
    """
    changed = onnx.load_model_from_string(model)
    for output in changed.graph.output:
        kind = output.type.tensor_type.elem_type
        output.CopyFrom(helper.make_tensor_value_info(output.name, kind, shapes[output.name]))
    return changed.SerializeToString()


def select_by_click_count(few: bytes, many: bytes, from_click: int) -> bytes:
    """One model for few and for many clicks, with an ``If``.

    Args:
        few: the model that answers to fewer clicks than ``from_click``. It has an input ``point_labels``.
        many: the one that answers to more; inputs and outputs have the names of those of ``few``.
        from_click: the least number of clicks that ``many`` answers to.

    Returns:
        The model; tensors that both have are stored once.
    """
    model = onnx.load_model_from_string(few)
    branches = [
        _as_branch(graph, prefix)
        for graph, prefix in ((model.graph, "few/"), (onnx.load_model_from_string(many).graph, "many/"))
    ]
    tensors = {tensor.name: tensor for branch in branches for tensor in branch.initializer}
    for branch in branches:
        branch.ClearField("initializer")
    # A label is 0 or 1 where it is nearer to 0.5 than 0.75.
    constants = {"choice/centre": 0.5, "choice/reach": 0.75, "choice/from_click": float(from_click)}
    nodes = [
        helper.make_node("Sub", [LABELS, "choice/centre"], ["choice/offset"]),
        helper.make_node("Abs", ["choice/offset"], ["choice/distance"]),
        helper.make_node("Less", ["choice/distance", "choice/reach"], ["choice/is_click"]),
        helper.make_node("Cast", ["choice/is_click"], ["choice/one_each"], to=TensorProto.FLOAT),
        helper.make_node("ReduceSum", ["choice/one_each"], ["choice/clicks"], keepdims=0),
        helper.make_node("Less", ["choice/clicks", "choice/from_click"], ["choice/are_few"]),
        helper.make_node(
            "If", ["choice/are_few"], [output.name for output in model.graph.output],
            then_branch=branches[0], else_branch=branches[1],
        ),
    ]  # fmt: skip
    scalars = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in constants.items()]
    graph = helper.make_graph(
        nodes, model.graph.name, model.graph.input, model.graph.output, [*tensors.values(), *scalars]
    )
    joined: ModelProto = helper.make_model(
        graph, opset_imports=model.opset_import, ir_version=model.ir_version, producer_name=model.producer_name
    )
    onnx.checker.check_model(joined)
    return joined.SerializeToString()


def _as_branch(graph: GraphProto, prefix: str) -> GraphProto:
    """A graph without inputs, which are those around it; values get a prefix, and tensors names by their content."""
    names = {}
    for tensor in graph.initializer:
        content = TensorProto()
        content.CopyFrom(tensor)
        content.ClearField("name")
        names[tensor.name] = f"tensor/{hashlib.sha256(content.SerializeToString()).hexdigest()[:16]}"
    branch = compose.add_prefix_graph(graph, prefix, rename_inputs=False, rename_initializers=False, name_map=names)
    branch.ClearField("input")
    branch.ClearField("value_info")
    return branch
