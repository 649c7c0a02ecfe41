"""Tokens of the image in the files of :mod:`saywhere.runtime.export_onnx`: the encoder samples them for its crop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import onnx
from onnx import TensorProto, helper, parser

from saywhere.core.image_tokens import LONGER_SIDE, PATCH, STRIDE

TOKEN_FACTS: Final[Mapping[str, int]] = {"token_side": LONGER_SIDE, "token_patch": PATCH, "token_stride": STRIDE}
TOKEN_INPUTS: Final[Mapping[str, str]] = {
    "tokens": "(1, C, h, w) float32: what tokens.onnx gives for the whole image",
    "token_rows": f"(1, H / {STRIDE}) float32: places of the encoded image's cells among the rows of tokens",
    "token_columns": f"(1, W / {STRIDE}) float32: the same among the columns of tokens",
}
TOKEN_PREPARATION: Final[tuple[str, ...]] = (
    "For tokens.onnx, once for each image: resize the whole image so that its longer side is token_side * token_patch "
    "and the shorter side the nearest multiple of token_patch (area interpolation where it shrinks, else bilinear).",
    "The encoded image shows the rows from top to bottom, of the R rows of the image, in H_shown rows before the "
    "padding: token_rows[i] = (top + min((i + 0.5) * token_stride, H_shown) * (bottom - top) / H_shown) * h / R - 0.5; "
    "token_columns likewise.",
)

_SAMPLING_OF_AXIS = """
    {name}_count = Shape<start={axis}, end={end}>(tokens)
    {name}_number = Squeeze({name}_count)
    {name}_range = Range(token_zero, {name}_number, token_one)
    {name}_indices = Cast<to=1>({name}_range)
    {name}_last = ReduceMax<keepdims=0>({name}_indices)
    {name}_inside = Clip({name}, token_start, {name}_last)
    {name}_places = Transpose({name}_inside)
    {name}_differences = Sub({name}_places, {name}_indices)
    {name}_distances = Abs({name}_differences)
    {name}_shares = Sub(token_weight, {name}_distances)
    {name}_weights = Relu({name}_shares)
"""
SAMPLING: Final = "".join(
    (
        "sampling (float tokens, float token_rows, float token_columns) => (float tokens_in_crop) {",
        "token_zero = Constant<value_int=0>() token_one = Constant<value_int=1>()",
        "token_start = Constant<value_float=0.0>() token_weight = Constant<value_float=1.0>()",
        _SAMPLING_OF_AXIS.format(name="token_rows", axis=2, end=3),
        _SAMPLING_OF_AXIS.format(name="token_columns", axis=3, end=4),
        "token_columns_transposed = Transpose(token_columns_weights)",
        "tokens_in_rows = MatMul(token_rows_weights, tokens)",
        "tokens_in_crop = MatMul(tokens_in_rows, token_columns_transposed)",
        "}",
    )
)
"""Bilinear sampling of a grid, as :func:`saywhere.core.image_tokens.tokens_in_crop` does it: weights fall linearly with
the distance along each axis, and places beyond the grid take its outermost tokens."""


def sample_tokens(graph: onnx.GraphProto) -> None:
    """Let an encoder take the tokens of the whole image, and sample them bilinearly at the cells of its crop.

    Args:
        graph: of the encoder, changed in place. Its input ``tokens`` has one for each cell of the crop; afterwards it
            has those of the image, and ``token_rows`` and ``token_columns`` are inputs, too.
    """
    for node in graph.node:
        node.input[:] = ["tokens_in_crop" if name == "tokens" else name for name in node.input]
    nodes = [*parser.parse_graph(SAMPLING).node, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    given = next(value for value in graph.input if value.name == "tokens")
    channels = given.type.tensor_type.shape.dim[1].dim_value
    graph.input.remove(given)
    shapes: dict[str, list[int | str]] = {
        "tokens": [1, channels, "token_h", "token_w"],
        "token_rows": [1, "cell_h"],
        "token_columns": [1, "cell_w"],
    }
    for name, shape in shapes.items():
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
