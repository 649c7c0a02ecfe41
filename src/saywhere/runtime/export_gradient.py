"""The gradient of the purification layer's loss as an ONNX graph, so that sequences learn without torch.

Only 1x1 convolutions learn, so the backward pass needs the gradients of frozen layers with regard to their inputs, and
one matrix product for each learning layer. The loss and its gradient are traced together; the backward operators that
ONNX lacks are written in terms of those it has.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any
from unittest import mock

import onnx
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional as F

from saywhere.models import saywhere as network
from saywhere.models.layers.clicks import ClickTensors
from saywhere.models.layers.phrase import EncodedPhrases
from saywhere.models.losses import bce
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.artefact import PREFIX

OPSET = 18


class Loss(nn.Module):
    """The binary cross-entropy of one example, from raw levels and the parameters of the purification layer."""

    def __init__(self, model: Saywhere) -> None:
        super().__init__()
        self.model = model

    def forward(self, given: Mapping[str, Tensor]) -> Tensor:
        """The loss of inputs by name; see :func:`gradient_inputs`."""
        model = self.model
        raw = tuple(given[f"raw{i}"] for i in range(4 + (model.token_encoder is not None)))
        with ExitStack() as stack:
            for i, layer in enumerate(model.purification):
                weight, bias = given[f"{i}.0.weight"], given[f"{i}.0.bias"]
                learned = mock.patch.object(layer, "forward", _purification(weight, bias))
                stack.enter_context(learned)
            levels = model.purify_levels(raw)
        relevance = levels.fused[1][:, :0]
        if model.relevance_maps:
            phrases = EncodedPhrases(given["context"], given["meaning"], given["present"])
            relevance = model.phrase_logits(model.relevance_features(levels.pure, *raw[3:]), phrases)
        candidates = model.decode_levels(
            levels.pure,
            levels.fused,
            levels.keys,
            ClickTensors(given["points"], given["labels"], given["radii"]),
            torch.zeros_like(given["target"]),
            relevance,
            given["context"] if model.attention is not None else None,
        )
        return bce(candidates.chosen(), given["target"], given["counted"]).mean()


def _purification(weight: Tensor, bias: Tensor) -> Any:
    return lambda x: F.relu(F.conv2d(x, weight, bias))


def gradient_inputs(model: Saywhere, side: int, clicks: int) -> dict[str, Tensor]:
    """Trial inputs by name.

    Args:
        model: with fused batch norms.
        side: of the square image, in pixels.
        clicks: how many a prompt may have; prompts with fewer are filled up.
    """
    with torch.no_grad():
        raw = model.encode(torch.rand(1, 3, side, side)).levels["raw"]
    given = {f"raw{i}": level for i, level in enumerate(raw)}
    given |= {"points": torch.rand(1, clicks, 2) * side, "labels": torch.ones(1, clicks)}
    given["labels"][0, 3:] = 0.0
    given["labels"][0, 7:] = -1.0
    given["radii"] = torch.zeros(1, clicks)
    if model.phrase_encoder is not None:
        given["context"] = torch.rand(1, 2 * model.phrase_encoder.hidden)
        if model.relevance_maps:
            given["meaning"] = F.normalize(torch.rand(1, model.phrase_encoder.words.dimensions), dim=1)
            given["present"] = torch.ones(1)
    given["target"] = (torch.rand(1, 1, side, side) > 0.5).float()
    given["counted"] = torch.ones(1, 1, side, side)
    return given


def export_gradient(model: Saywhere, side: int, clicks: int) -> tuple[dict[str, Any], bytes]:
    """Trace the loss and its gradient.

    Args:
        model: with fused batch norms, in evaluation mode.
        side: of the square images that are learned from, in pixels; the graph takes no other.
        clicks: how many a prompt may have.

    Returns:
        The names of inputs, outputs and weights, and the ONNX model without weights.
    """
    loss = Loss(model).eval()
    for module in model.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False  # the exporter takes what is saved for the backward pass from before the change
    given = gradient_inputs(model, side, clicks)
    parameters = {
        f"{i}.0.{part}": getattr(layer[0], part).detach()  # type: ignore[index]
        for i, layer in enumerate(model.purification)
        for part in ("weight", "bias")
    }
    state = {f"{PREFIX}{name}": value.detach() for name, value in model.state_dict().items()}
    unused = tuple(f"{PREFIX}{part}." for part in ("purification", "encoder", "token_encoder"))
    frozen = {name: value for name, value in state.items() if not name.startswith(unused)}
    names = [*parameters, *given, *frozen]
    count = len(parameters)

    def loss_and_gradient(*tensors: Tensor) -> tuple[Tensor, ...]:
        by_name = dict(zip(names, tensors, strict=True))
        learned = [by_name[name].requires_grad_(True) for name in parameters]
        inputs = {**dict(zip(parameters, learned, strict=True)), **{name: by_name[name] for name in given}}
        value = functional_call(loss, {name: by_name[name] for name in frozen}, (inputs,))
        return value.detach(), *torch.autograd.grad(value, learned)

    tensors = [*parameters.values(), *given.values(), *frozen.values()]
    with differentiable_operators():
        traced = make_fx(loss_and_gradient, decompositions(), tracing_mode="real")(*tensors)
    name_casts(traced)
    views = [node for node in traced.graph.nodes if node.target is torch.ops.aten.as_strided.default]
    assert not views, f"the exporter loses what is copied into {views}"
    outputs = ["loss", *(f"gradient.{name}" for name in parameters)]
    content: Any = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            traced, tuple(tensors), content, dynamo=False, opset_version=OPSET, do_constant_folding=False,
            input_names=names, output_names=outputs,
        )  # fmt: skip
    graph = onnx.load_model_from_string(content.getvalue())
    used = _make_external(graph, set(frozen))
    inputs = [value.name for value in graph.graph.input]
    assert inputs[:count] == list(parameters)
    return {"inputs": inputs, "outputs": outputs, "weights": used}, graph.SerializeToString()


def name_casts(traced: torch.fx.GraphModule) -> None:
    """Use the operator of casts that the exporter knows."""
    for node in traced.graph.nodes:
        if node.target is torch.ops.aten._to_copy.default:
            node.target = torch.ops.aten.to.dtype
            node.args = (node.args[0], node.kwargs["dtype"])
            node.kwargs = {}
    traced.recompile()


def _make_external(graph: Any, names: set[str]) -> list[str]:
    """Turn inputs into initializers without values; returns the names of those that a node uses."""
    read = {name for node in graph.graph.node for name in node.input}
    kept, used = [], []
    for value in graph.graph.input:
        if value.name not in names:
            kept.append(value)
            continue
        if value.name not in read:
            continue
        tensor = graph.graph.initializer.add()
        tensor.name = value.name
        tensor.data_type = value.type.tensor_type.elem_type
        tensor.dims.extend(dim.dim_value for dim in value.type.tensor_type.shape.dim)
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, text in (("location", "weights"), ("offset", "0"), ("length", "0")):
            tensor.external_data.add(key=key, value=text)
        used.append(value.name)
    kept = [type(value).FromString(value.SerializeToString()) for value in kept]
    del graph.graph.input[:]
    graph.graph.input.extend(kept)
    return used


# Operators


def differentiable_operators() -> ExitStack:
    """A context in which operators whose gradients ONNX lacks are computed by others."""
    stack = ExitStack()
    stack.enter_context(mock.patch.object(F, "interpolate", interpolate))
    stack.enter_context(mock.patch.object(F, "avg_pool2d", average_pool))
    stack.enter_context(mock.patch.object(F, "batch_norm", batch_norm))
    stack.enter_context(mock.patch.object(F, "adaptive_avg_pool2d", global_average))
    stack.enter_context(mock.patch.object(network, "enlarge", lambda x, factor=2.0: interpolate(x, None, factor)))
    return stack


def interpolate(
    input: Tensor, size: Sequence[int] | None = None, scale_factor: float | None = None, mode: str = "bilinear",
    align_corners: bool = False,
) -> Tensor:  # fmt: skip
    """Bilinear interpolation as two matrix products."""
    h, w = input.shape[-2:]
    height, width = size if size is not None else (int(h * (scale_factor or 1)), int(w * (scale_factor or 1)))
    return interpolation_matrix(h, height) @ input @ interpolation_matrix(w, width).T


def interpolation_matrix(length: int, onto: int) -> Tensor:
    """The matrix ``(onto, length)`` of a linear interpolation between pixel centres; the border repeats."""
    positions = ((torch.arange(onto) + 0.5) * (length / onto) - 0.5).clamp(0.0, length - 1.0)
    return (1.0 - (positions[:, None] - torch.arange(length)).abs()).clamp(min=0.0)


def average_pool(x: Tensor, kernel: int) -> Tensor:
    """Average pooling over squares that do not overlap."""
    b, c, h, w = x.shape
    return x.reshape(b, c, h // kernel, kernel, w // kernel, kernel).mean((3, 5))


def global_average(x: Tensor, size: Sequence[int] | int) -> Tensor:
    """Adaptive average pooling to one cell."""
    assert size in (1, (1, 1))
    return x.mean((2, 3), keepdim=True)


def batch_norm(
    x: Tensor, mean: Tensor, variance: Tensor, weight: Tensor, bias: Tensor, training: bool, momentum: float, eps: float
) -> Tensor:
    """Batch norm with frozen statistics, of ``(B, C, ...)``."""
    assert not training
    scale = (variance + eps).rsqrt() * weight
    shape = (-1,) + (1,) * (x.ndim - 2)
    return x * scale.reshape(shape) + (bias - mean * scale).reshape(shape)


def decompositions() -> dict[Any, Any]:
    """Backward operators in terms of others."""
    from torch._decomp import core_aten_decompositions

    aten = torch.ops.aten
    table: dict[Any, Any] = dict(core_aten_decompositions())
    kept = (
        aten.convolution.default, aten.relu.default, aten.addmm.default, aten.tanh.default, aten.sigmoid.default,
        aten.pixel_shuffle.default, aten.pixel_unshuffle.default,
    )  # fmt: skip
    for operator in kept:
        table.pop(operator, None)
    table[aten.convolution_backward.default] = convolution_backward
    table[aten.slice_backward.default] = slice_backward
    table[aten.select_backward.default] = select_backward
    table[aten._softmax.default] = softmax
    table[aten.native_layer_norm.default] = layer_norm
    return table


def softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    """The softmax of float32."""
    assert not half_to_float
    exponential = (x - x.amax(dim, keepdim=True)).exp()
    return exponential / exponential.sum(dim, keepdim=True)


def layer_norm(
    x: Tensor, shape: Sequence[int], weight: Tensor, bias: Tensor, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm over the last dimension, its mean and the inverse of its deviation."""
    assert len(shape) == 1
    mean = x.mean(-1, keepdim=True)
    centred = x - mean
    scale = ((centred * centred).mean(-1, keepdim=True) + epsilon).rsqrt()
    return centred * scale * weight + bias, mean, scale


def slice_backward(gradient: Tensor, sizes: Sequence[int], dim: int, start: int, end: int, step: int) -> Tensor:
    """Zeros around the gradient of a slice without steps."""
    assert step == 1
    after = sizes[dim] - min(start, sizes[dim]) - gradient.shape[dim]
    return F.pad(gradient, [0, 0] * (len(sizes) - 1 - dim % len(sizes)) + [start, after])


def select_backward(gradient: Tensor, sizes: Sequence[int], dim: int, index: int) -> Tensor:
    """Zeros around the gradient of one element of a dimension."""
    return slice_backward(gradient.unsqueeze(dim), sizes, dim, index, index + 1, 1)


def convolution_backward(
    gradient: Tensor, x: Tensor, weight: Tensor, bias_sizes: Sequence[int] | None, stride: Sequence[int],
    padding: Sequence[int], dilation: Sequence[int], transposed: bool, output_padding: Sequence[int], groups: int,
    mask: Sequence[bool],
) -> tuple[Tensor | None, Tensor | None, Tensor | None]:  # fmt: skip
    """The gradients of a convolution: of its input in general, of its weight for 1x1 kernels."""
    of_input = of_weight = of_bias = None
    kernel = weight.shape[-1]
    if mask[0] and stride[0] == 1 and groups == 1:
        # A convolution with the mirrored kernel: much faster than a transposed convolution.
        mirrored = weight.flip(2, 3).transpose(0, 1)
        around = [d * (kernel - 1) - p for d, p in zip(dilation, padding, strict=True)]
        of_input = F.conv2d(gradient, mirrored, padding=around, dilation=list(dilation))
    elif mask[0]:
        rest = [
            size - ((g - 1) * s - 2 * p + d * (kernel - 1) + 1)
            for size, g, s, p, d in zip(x.shape[2:], gradient.shape[2:], stride, padding, dilation, strict=True)
        ]
        of_input = F.conv_transpose2d(gradient, weight, None, list(stride), list(padding), rest, groups, list(dilation))
    if mask[1]:
        assert kernel == 1, "only 1x1 convolutions learn"
        of_weight = (gradient.flatten(2) @ x.flatten(2).transpose(1, 2)).sum(0)[..., None, None]
    if mask[2]:
        of_bias = gradient.sum((0, 2, 3))
    return of_input, of_weight, of_bias
