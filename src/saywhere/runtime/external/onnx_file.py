"""What an ONNX file says of itself, read without the package onnx and without loading its weights."""

from __future__ import annotations

import hashlib
import mmap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from saywhere.core.numbers import describe
from saywhere.errors import SaywhereError

LEAST_OPSET = 11  # what the export scripts of SAM's family ask for
TYPES = {1: "float32", 2: "uint8", 3: "int8", 6: "int32", 7: "int64", 10: "float16", 11: "float64"}
"""Numbers of the element types in onnx.proto, and numpy's names."""

# Numbers of fields in onnx.proto.
_MODEL_GRAPH, _MODEL_OPSETS = 7, 8
_OPSET_DOMAIN, _OPSET_VERSION = 1, 2
_GRAPH_NODES, _GRAPH_WEIGHTS, _GRAPH_INPUTS, _GRAPH_OUTPUTS = 1, 5, 11, 12
_WEIGHT_NAME, _WEIGHT_EXTERNAL = 8, 13
_VALUE_NAME, _VALUE_TYPE = 1, 2
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types of protocol buffers

Span = tuple[int, int]
"""Where the content of a field begins and ends in the file."""


@dataclass(frozen=True)
class Value:
    """An input or output of a graph.

    Attributes:
        name: of the value.
        dtype: numpy's name of the element type; "" for one that is not a tensor of numbers.
        shape: the length of each axis, None where it depends on the input; None where the file does not say.
    """

    name: str
    dtype: str
    shape: tuple[int | None, ...] | None

    def __str__(self) -> str:
        if self.shape is None:
            return self.name
        return f"{self.name} ({' x '.join('?' if n is None else str(n) for n in self.shape)})"

    @property
    def rank(self) -> int | None:
        """The number of axes; None where the file does not say."""
        return None if self.shape is None else len(self.shape)


@dataclass(frozen=True)
class OnnxFile:
    """An ONNX file.

    Attributes:
        path: where it is.
        opset: version of the standard operators that it was written with.
        inputs: of the graph, without its weights, in order.
        outputs: of the graph, in order.
        external: files beside it that hold weights.
    """

    path: Path
    opset: int
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    external: tuple[Path, ...] = ()

    def __str__(self) -> str:
        inputs, outputs = (", ".join(map(str, values)) for values in (self.inputs, self.outputs))
        return f"'{self.path}' with the inputs {inputs} and the outputs {outputs}"

    @property
    def by_name(self) -> Mapping[str, Value]:
        """The inputs by name."""
        return {value.name: value for value in self.inputs}

    def digest(self) -> str:
        """SHA-256 of the file and of those that hold weights beside it."""
        total = hashlib.sha256()
        for path in (self.path, *self.external):
            with path.open("rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
        return total.hexdigest()


def read_onnx_file(path: Path) -> OnnxFile:
    """Read what an ONNX file says of itself.

    Args:
        path: of the file.

    Raises:
        SaywhereError: there is no such file, it is not an ONNX model, it is too old, or weights beside it are missing.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            read = _Reader(content).read(path)
    except OSError as error:
        raise SaywhereError(f"model file '{path}': {error.strerror or error}; give an ONNX file") from error
    except (ValueError, IndexError) as error:
        raise SaywhereError(
            f"model file '{path}': not an ONNX model; export a checkpoint first, see docs/external-models.md"
        ) from error
    if read.opset < LEAST_OPSET:
        raise SaywhereError(
            f"model file '{path}': written with opset {read.opset}, and {LEAST_OPSET} or later is expected; "
            "export it again"
        )
    for beside in read.external:
        if not beside.is_file():
            raise SaywhereError(f"model file '{path}': its weights are in '{beside.name}', which is not beside it")
    return read


class _Reader:
    """Reads messages of protocol buffers from a file's content."""

    def __init__(self, content: mmap.mmap) -> None:
        self.content = content

    def read(self, path: Path) -> OnnxFile:
        graph, opset = None, 0
        for number, value in self.fields((0, len(self.content))):
            if number == _MODEL_GRAPH:
                graph = self.span(value)
            elif number == _MODEL_OPSETS:
                found = dict(self.fields(self.span(value)))
                if not self.text(found.get(_OPSET_DOMAIN)) or self.text(found[_OPSET_DOMAIN]) == "ai.onnx":
                    opset = max(opset, self.number(found.get(_OPSET_VERSION, 0)))
        if graph is None or not opset:
            raise ValueError("no graph")
        weights, external, inputs, outputs, nodes = set(), set(), [], [], 0
        for number, value in self.fields(graph):
            if number == _GRAPH_WEIGHTS:
                name, location = self.weight(self.span(value))
                weights.add(name)
                external |= {location} if location else set()
            elif number == _GRAPH_INPUTS:
                inputs.append(self.value(self.span(value)))
            elif number == _GRAPH_OUTPUTS:
                outputs.append(self.value(self.span(value)))
            nodes += number == _GRAPH_NODES
        if not nodes or not outputs:
            raise ValueError("an empty graph")
        given = tuple(each for each in inputs if each.name not in weights)  # earlier versions list weights as inputs
        return OnnxFile(path, opset, given, tuple(outputs), tuple(path.parent / name for name in sorted(external)))

    def weight(self, span: Span) -> tuple[str, str | None]:
        """Name of a weight, and of the file that holds it where that is another one."""
        name, location = "", None
        for number, value in self.fields(span):
            if number == _WEIGHT_NAME:
                name = self.text(value)
            elif number == _WEIGHT_EXTERNAL:
                entry = [self.text(text) for _, text in self.fields(self.span(value))]
                if entry[:1] == ["location"] and len(entry) == 2:
                    location = entry[1]
        return name, location

    def value(self, span: Span) -> Value:
        found = dict(self.fields(span))
        name, dtype, shape = self.text(found.get(_VALUE_NAME)), "", None
        tensor = dict(self.fields(self.span(found[_VALUE_TYPE]))).get(1) if _VALUE_TYPE in found else None
        if tensor is not None:
            kind = dict(self.fields(self.span(tensor)))
            dtype = TYPES.get(self.number(kind.get(1, 0)), "")
            if 2 in kind:
                shape = tuple(self.axis(self.span(axis)) for _, axis in self.fields(self.span(kind[2])))
        return Value(name, dtype, shape)

    def axis(self, span: Span) -> int | None:
        length = dict(self.fields(span)).get(1)
        return length if isinstance(length, int) and length > 0 else None

    def fields(self, span: Span) -> Iterator[tuple[int, int | Span]]:
        """Number of each field of a message, and its value: an integer, or where its content is."""
        place, end = span
        while place < end:
            key, place = self.varint(place)
            kind = key & 7
            if kind == _VARINT:
                value, place = self.varint(place)
                yield key >> 3, value
                continue
            if kind == _BYTES:
                length, place = self.varint(place)
            else:
                length = {_FIXED64: 8, _FIXED32: 4}.get(kind, -1)
            if length < 0 or place + length > end:
                raise ValueError("a damaged message")
            yield key >> 3, (place, place + length)
            place += length

    def varint(self, place: int) -> tuple[int, int]:
        value = shift = 0
        while shift < 70:
            byte = self.content[place]
            place += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, place
            shift += 7
        raise ValueError("a damaged number")

    def span(self, value: int | Span) -> Span:
        if isinstance(value, int):
            raise ValueError(f"a number, {describe(value)}, instead of a message")
        return value

    def number(self, value: int | Span) -> int:
        if not isinstance(value, int):
            raise ValueError("a message instead of a number")
        return value

    def text(self, value: int | Span | None) -> str:
        if value is None:
            return ""
        start, end = self.span(value)
        return self.content[start:end].decode()
