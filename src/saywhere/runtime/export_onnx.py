"""Our network as self-contained ONNX files, for programs that have ONNX Runtime and nothing of ours. Needs onnx.

The graphs are those of :mod:`saywhere.runtime.export`; here they get their weights, and what only phrases need is fixed
to "no phrase". Where crops share tokens of the image, these are a file of their own, and the encoder samples from them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.utils import Extractor

from saywhere.core.arrays import FloatArray
from saywhere.core.atomic import write_atomically
from saywhere.core.image_tokens import MULTIPLE
from saywhere.core.settings import Settings
from saywhere.runtime.artefact import PREFIX
from saywhere.runtime.export_onnx_tokens import TOKEN_FACTS, TOKEN_INPUTS, TOKEN_PREPARATION, sample_tokens
from saywhere.runtime.metadata import resolve_settings
from saywhere.runtime.onnx import OnnxRuntime
from saywhere.runtime.weights import find_weights, load_runtime

Precision = Literal["fp32", "fp16", "int8"]
ENCODER, DECODER, DESCRIPTION, TOKENS = "encoder.onnx", "decoder.onnx", "model.json", "tokens.onnx"
VERSION = 1
MIN_ENCODER_VALUES, MIN_DECODER_VALUES = 300_000, 1024
"""Values of a tensor that "int8" stores in 8 bits; smaller ones are in half precision. With 8 bits for all of the
encoder's convolutions masks differ visibly, because the ranges of its channels differ much."""
CANDIDATES, SCORES = "logits", "predicted_ious"
NEEDED_SETTINGS = (
    "size", "zoom", "zoom_size", "later_zoom_size", "zoom_margin", "max_zoom_steps", "threshold", "enlarge",
    "previous_mask_from", "drag_margin", "unclicked_components", "keep_clicked", "candidate_choice",
)  # fmt: skip
"""What a program needs to crop and post-process as a Segmenter does without a phrase."""

INPUTS: Final[Mapping[str, str]] = {
    "image": "(1, H, W, 3) uint8 RGB, values 0 to 255 as they are; H and W are multiples of 32",
    "points": "(1, N, 2) float32 x and y in pixels of the encoded image, at least one; 0 is the first pixel's centre",
    "labels": "(1, N) float32: 1 on the object, 0 off it, 2 and 3 top left and bottom right corner of a box, -1 none",
    "radii": "(1, N) float32: length of a drag in pixels of the encoded image; 0 for a click and for corners",
    "previous": "(1, 1, H, W) float32: probability of the mask before in [0, 1]; zeros without one",
}
OUTPUTS: Final[Mapping[str, str]] = {
    CANDIDATES: "(1, M, H, W) float32 logits of M candidate masks of the encoded image; above 0 on the object",
    SCORES: "(1, M) float32 predicted IoU of each candidate; the highest one is the answer",
}
PREPARATION: Final[tuple[str, ...]] = (
    "Resize the image so that its longer side is settings.size (area interpolation where it shrinks, else bilinear), "
    "round the shorter side.",
    "Repeat its last row and column until both sides are multiples of 32.",
    "Place x of the original image is (x + 0.5) * scale - 0.5 in the encoded one; scale = its width / the original's.",
    "A box's edges e, in pixels from the image's border, become the corners e * scale - 0.5.",
    "Cut the logits to the size before the padding, and enlarge them bilinearly to the original's size.",
    "Optional, as the library does: encode the crop around the mask, enlarged by settings.zoom_margin, with its longer "
    "side at settings.zoom_size (settings.later_zoom_size from interaction settings.previous_mask_from on), and decode "
    "the same prompt in it.",
)


def write_onnx(weights: str | Path | None, out: Path, precision: Precision = "fp32") -> list[Path]:
    """Write ``encoder.onnx``, ``decoder.onnx`` and ``model.json``, which says what their inputs and outputs mean.

    Weights with tokens of the image (the preset "large") get a third model, ``tokens.onnx``.

    Args:
        weights: see :func:`saywhere.runtime.weights.find_weights`.
        out: the folder; it is made where there is none.
        precision: how the weights are stored; all of them are computed with in single precision. "int8" is 8 bits
            for the decoder and the largest tensors of the encoder, with a scale for each output channel, and half
            precision for the rest.

    Returns:
        The files.

    Raises:
        SaywhereError: the weights are of another network.

    Example:
        >>> import tempfile
        >>> [path.name for path in write_onnx("small", Path(tempfile.mkdtemp()), "int8")]
        ['encoder.onnx', 'decoder.onnx', 'model.json']
    """
    contents = exported_files(find_runtime(weights), precision)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        write_atomically(out / name, content)
    return [out / name for name in contents]


def exported_files(runtime: OnnxRuntime, precision: Precision) -> dict[str, bytes]:
    """What :func:`write_onnx` writes, by name."""
    models = {ENCODER: encoder_model(runtime, precision), DECODER: decoder_model(runtime, precision)}
    if runtime.capabilities.image_tokens:
        models[TOKENS] = tokens_model(runtime, precision)
    description = json.dumps(describe_model(runtime, models, precision), indent=2) + "\n"
    contents = {name: model.SerializeToString(deterministic=True) for name, model in models.items()}
    return {**contents, DESCRIPTION: description.encode()}


def find_runtime(weights: str | Path | None) -> OnnxRuntime:
    """The network behind some weights, if it can be exported."""
    runtime = load_runtime(find_weights(weights), backend="onnxruntime")
    assert isinstance(runtime, OnnxRuntime), "asked for by its name"
    return runtime


def encoder_model(runtime: OnnxRuntime, precision: Precision) -> onnx.ModelProto:
    """The encoder with its weights, and with those outputs only that the decoder takes."""
    graphs = runtime.description["graphs"]
    names = [name for name in graphs["encoder"]["outputs"] if name in graphs["decoder"]["inputs"]]
    whole = onnx.load_model_from_string(runtime.sessions.artefact.graphs["encoder"])
    model = Extractor(whole).extract_model(list(graphs["encoder"]["inputs"]), names)
    if runtime.capabilities.image_tokens:
        sample_tokens(model.graph)
    return with_weights(model, runtime.sessions.weights, precision, MIN_ENCODER_VALUES)


def tokens_model(runtime: OnnxRuntime, precision: Precision) -> onnx.ModelProto:
    """The transformer with its weights: from an image, whose sides are multiples of a patch, to tokens."""
    model = onnx.load_model_from_string(runtime.sessions.artefact.graphs["tokens"])
    return with_weights(model, runtime.sessions.weights, precision, MIN_ENCODER_VALUES)


def decoder_model(runtime: OnnxRuntime, precision: Precision) -> onnx.ModelProto:
    """The decoder with its weights, without a phrase, and with predicted IoU instead of their logits."""
    model = onnx.load_model_from_string(runtime.sessions.artefact.graphs["decoder"])
    graph, first = model.graph, []
    inputs = {value.name: value for value in graph.input}
    if "context" in inputs:
        width = inputs["context"].type.tensor_type.shape.dim[1].dim_value
        graph.initializer.append(numpy_helper.from_array(np.zeros((1, width), np.float32), "context"))
    if "relevance" in inputs:
        sources = inputs["relevance"].type.tensor_type.shape.dim[1].dim_value
        first += zeros_like_level("fused1", sources, "relevance")
    for name in ("context", "relevance"):
        if name in inputs:
            graph.input.remove(inputs[name])
    nodes = [*first, *graph.node, helper.make_node("Sigmoid", ["iou_logits"], [SCORES])]
    del graph.node[:]
    graph.node.extend(nodes)
    graph.output.remove(next(value for value in graph.output if value.name == "iou_logits"))
    count = runtime.capabilities.candidates
    graph.output.append(helper.make_tensor_value_info(SCORES, TensorProto.FLOAT, ["batch", count]))
    return with_weights(model, runtime.sessions.weights, precision, MIN_DECODER_VALUES)


def zeros_like_level(level: str, channels: int, name: str) -> list[onnx.NodeProto]:
    """Nodes that give zeros ``(1, channels, h, w)`` with the height and width of a level."""
    ends = {f"{name}.two": [2], f"{name}.four": [4], f"{name}.front": [1, channels]}
    constants = [
        helper.make_node("Constant", [], [key], value=numpy_helper.from_array(np.array(value, np.int64)))
        for key, value in ends.items()
    ]
    return [
        *constants,
        helper.make_node("Shape", [level], [f"{name}.shape"]),
        helper.make_node("Slice", [f"{name}.shape", f"{name}.two", f"{name}.four"], [f"{name}.size"]),
        helper.make_node("Concat", [f"{name}.front", f"{name}.size"], [f"{name}.all"], axis=0),
        helper.make_node("ConstantOfShape", [f"{name}.all"], [name]),
    ]


def with_weights(
    model: onnx.ModelProto, weights: Mapping[str, FloatArray], precision: Precision, min_values: int
) -> onnx.ModelProto:
    """A model whose weights are inside.

    Args:
        model: its weights are external and named after those of the weights file.
        weights: the tensors of the weights file.
        precision: how they are stored.
        min_values: of a tensor that "int8" stores in 8 bits.
    """
    graph = model.graph
    nodes: list[onnx.NodeProto] = []
    for tensor in list(graph.initializer):
        if not tensor.name.startswith(PREFIX):
            continue
        graph.initializer.remove(tensor)
        values = np.asarray(weights[tensor.name.removeprefix(PREFIX)], np.float32).reshape(tuple(tensor.dims))
        stored, made = _stored(tensor.name, values, precision, min_values)
        graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in stored.items())
        nodes += made
    nodes += graph.node
    del graph.node[:]
    graph.node.extend(nodes)
    fold_constant_casts(model)
    model.producer_name = "saywhere"
    onnx.checker.check_model(model)
    return model


def fold_constant_casts(model: onnx.ModelProto) -> None:
    """Replace casts of constants, in place, by constants: the runtime for WebGPU cannot cast double numbers."""
    graph = model.graph
    constants = {node.output[0]: node.attribute[0].t for node in graph.node if node.op_type == "Constant"}
    for node in graph.node:
        value = constants.get(node.input[0]) if node.op_type == "Cast" else None
        if value is not None:
            kind = helper.tensor_dtype_to_np_dtype(next(each.i for each in node.attribute if each.name == "to"))
            cast = numpy_helper.from_array(np.asarray(numpy_helper.to_array(value), kind))
            node.CopyFrom(helper.make_node("Constant", [], [node.output[0]], node.name, value=cast))
    used = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    used |= {name for node in graph.node for part in node.attribute for one in part.g.node for name in one.input}
    kept = [node for node in graph.node if node.op_type != "Constant" or node.output[0] in used]
    del graph.node[:]
    graph.node.extend(kept)


Stored = tuple[dict[str, Any], list[onnx.NodeProto]]
"""Tensors by name, and the nodes that make the weight of them, once, when a runtime loads the model."""


def _stored(name: str, values: FloatArray, precision: Precision, min_values: int) -> Stored:
    if precision == "fp32":
        return _in_single(name, values)
    is_large = values.ndim > 1 and values.size >= min_values
    return _in_int8(name, values) if precision == "int8" and is_large else _in_half(name, values)


def _in_single(name: str, values: FloatArray) -> Stored:
    return {name: values}, []


def _in_half(name: str, values: FloatArray) -> Stored:
    half = values.astype(np.float16)
    if not np.isfinite(half).all():
        return _in_single(name, values)
    cast = helper.make_node("Cast", [f"{name}.half"], [name], to=TensorProto.FLOAT)
    return {f"{name}.half": half}, [cast]


def _in_int8(name: str, values: FloatArray) -> Stored:
    largest = np.abs(values).reshape(len(values), -1).max(axis=1)
    scale = np.maximum(largest / 127.0, np.finfo(np.float32).tiny).astype(np.float32)
    scale = scale.reshape(-1, *(1 for _ in values.shape[1:]))
    whole = np.round(values / scale).astype(np.int8)
    return {f"{name}.int8": whole, f"{name}.scale": scale}, [
        helper.make_node("Cast", [f"{name}.int8"], [f"{name}.whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name]),
    ]


def describe_model(runtime: OnnxRuntime, files: Mapping[str, onnx.ModelProto], precision: Precision) -> dict[str, Any]:
    """What ``model.json`` says."""
    settings = asdict(resolve_settings(runtime, Settings()))
    has_tokens = runtime.capabilities.image_tokens
    return {
        "format": VERSION,
        "weights": runtime.name,
        "sha256_of_weights": runtime.digest,
        "precision": precision,
        "files": {
            name: {"inputs": _signature(model.graph.input), "outputs": _signature(model.graph.output)}
            for name, model in files.items()
        },
        "multiple": MULTIPLE,
        "boxes": runtime.capabilities.boxes,
        "candidates": runtime.capabilities.candidates,
        "settings": {name: settings[name] for name in NEEDED_SETTINGS},
        "meaning": {
            **INPUTS,
            **(TOKEN_INPUTS if has_tokens else {}),
            **OUTPUTS,
            "other": "outputs of the encoder, given to the decoder by their names",
        },
        "preparation": [*PREPARATION, *(TOKEN_PREPARATION if has_tokens else ())],
        **(TOKEN_FACTS if has_tokens else {}),
    }


def _signature(values: Any) -> dict[str, dict[str, Any]]:
    """Type and shape of each input or output; a dimension that may be of any size is null."""
    return {
        value.name: {
            "type": str(helper.tensor_dtype_to_np_dtype(value.type.tensor_type.elem_type)),
            "shape": [dim.dim_value or None for dim in value.type.tensor_type.shape.dim],
        }
        for value in values
    }
