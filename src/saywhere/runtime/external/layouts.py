"""Which export of SAM's family two ONNX files are, judged by the inputs and outputs of their graphs alone.

An encoder has one image as its input. A decoder has points and labels among its inputs; what else it takes by a name
that is not a prompt's is what the encoder gives. research/layouts.json lists the exports that are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from saywhere.core.geometry import ImageSize
from saywhere.errors import SaywhereError
from saywhere.runtime.external.onnx_file import OnnxFile, Value

SIDE = 1024  # of the square that SAM's networks see, where the files do not say
LOW_RESOLUTION = 4  # pixels of that square to a pixel of the masks that are given back
MAX_POINTS = 6  # of EfficientSAM's decoder, which leaves others out
POINTS, LABELS = ("point_coords", "batched_point_coords"), ("point_labels", "batched_point_labels")
MASK, HAS_MASK, ORIGINAL_SIZE = "mask_input", "has_mask_input", "orig_im_size"
PROMPT = (*POINTS, *LABELS, MASK, HAS_MASK, ORIGINAL_SIZE)

Family = Literal["sam", "sam-hq", "edge-sam", "sam2", "efficient-sam"]
Values = Literal["bytes", "unit", "normalised"]
"""What an encoder takes: 0 to 255, 0 to 1, or normalised by the mean and deviation of ImageNet."""
Placement = Literal["fit", "squeeze", "own"]
"""How an image becomes the encoder's: resized with its shape kept and padded at right and below; squeezed; as it is."""


@dataclass(frozen=True)
class Encoder:
    """An encoder's input.

    Attributes:
        image: the input.
        values: what it takes.
        placement: how an image becomes its size.
        size: of the input; None where any is taken.
    """

    image: Value
    values: Values
    placement: Placement
    size: ImageSize | None

    @property
    def is_channels_last(self) -> bool:
        """Whether the input is ``(H, W, 3)`` instead of ``(1, 3, H, W)``."""
        return self.image.rank == 3


@dataclass(frozen=True)
class Decoder:
    """A decoder's inputs beside what the encoder gives.

    Attributes:
        points: ``(1, N, 2)``, or ``(1, 1, N, 2)`` where it is batched.
        labels: of the points.
        mask: logits of the last answer; None where it takes none.
        has_mask: whether there is one; None where it is not asked.
        original_size: the size of the masks; None where it is not asked.
        max_points: None: any number.
    """

    points: Value
    labels: Value
    mask: Value | None
    has_mask: Value | None
    original_size: Value | None
    max_points: int | None

    @property
    def is_batched(self) -> bool:
        """Whether it takes several prompts at once, as EfficientSAM's does."""
        return self.points.name == POINTS[1]


@dataclass(frozen=True)
class Layout:
    """Two files that belong together.

    Attributes:
        family: whose export this is.
        encoder: how an image is given.
        decoder: how a prompt is given.
        features: for each feature input of the decoder the names of the encoder's outputs that it is; several are
            stacked.
        side: of the square in whose pixels points are given.
    """

    family: Family
    encoder: Encoder
    decoder: Decoder
    features: dict[str, tuple[str, ...]] = field(hash=False)
    side: int


def recognise(first: OnnxFile, second: OnnxFile) -> tuple[OnnxFile, OnnxFile, Layout]:
    """Which of two files is the encoder, and which export they are.

    Args:
        first: one file.
        second: the other.

    Returns:
        The encoder, the decoder, and their layout.

    Raises:
        SaywhereError: a file is neither, both are the same, or the decoder is another encoder's.
    """
    for file in (first, second):
        if not is_encoder(file) and not is_decoder(file):
            raise SaywhereError(
                f"model file {file}: neither an encoder (one image with 3 channels as its input) nor a decoder "
                f"({POINTS[0]} and {LABELS[0]} among its inputs) of an export of SAM"
            )
    if is_decoder(first) == is_decoder(second):
        both = "decoders" if is_decoder(first) else "encoders"
        raise SaywhereError(
            f"model files '{first.path}' and '{second.path}': both are {both}; give one encoder and one decoder"
        )
    encoder, decoder = (second, first) if is_decoder(first) else (first, second)
    features = match_features(encoder, decoder)
    family = _family(decoder, features)
    side = _side(encoder.inputs[0], decoder)
    return (
        encoder,
        decoder,
        Layout(family, _encoder(encoder.inputs[0], family, side), _decoder(decoder), features, side),
    )


def is_decoder(file: OnnxFile) -> bool:
    """Whether a file takes points and labels, and no image."""
    names = file.by_name
    takes_prompt = any(name in names for name in POINTS) and any(name in names for name in LABELS)
    return takes_prompt and not any(map(_is_image, file.inputs))


def is_encoder(file: OnnxFile) -> bool:
    """Whether a file takes one image and nothing else."""
    return len(file.inputs) == 1 and _is_image(file.inputs[0])


def is_whole_model(file: OnnxFile) -> bool:
    """Whether a file is encoder and decoder in one."""
    names = file.by_name
    return any(name in names for name in POINTS) and any(map(_is_image, file.inputs))


def _is_image(value: Value) -> bool:
    if value.shape is None or value.name in PROMPT:
        return False
    return (value.rank == 3 and value.shape[2] == 3) or (value.rank == 4 and value.shape[1] == 3)


def _family(decoder: OnnxFile, features: dict[str, tuple[str, ...]]) -> Family:
    names = decoder.by_name
    if POINTS[1] in names:
        return "efficient-sam"
    if len(features) >= 3:
        return "sam2"
    if len(features) == 2:
        return "sam-hq"
    return "sam" if MASK in names else "edge-sam"


def _side(image: Value, decoder: OnnxFile) -> int:
    """Side of the square that the network sees: four times that of the mask it takes, else the encoder's."""
    mask = decoder.by_name.get(MASK)
    if mask is not None and mask.shape is not None and mask.shape[-1] is not None:
        return LOW_RESOLUTION * mask.shape[-1]
    longest = max((n for n in image.shape or () if n is not None), default=0)
    return longest if longest > 3 else SIDE


def _encoder(image: Value, family: Family, side: int) -> Encoder:
    assert image.shape is not None
    axes = image.shape[:2] if image.rank == 3 else image.shape[2:]
    size = None if None in axes else ImageSize(*(n or 0 for n in axes))
    if family == "efficient-sam":
        return Encoder(image, "unit", "own" if size is None else "squeeze", size)
    raw = image.rank == 3 or image.dtype == "uint8"
    if family == "sam2":
        return Encoder(image, "bytes" if raw else "normalised", "squeeze", size or ImageSize(side, side))
    if image.rank == 4 and size is None:
        size = ImageSize(side, side)
    return Encoder(image, "bytes" if raw else "normalised", "fit", size)


def _decoder(file: OnnxFile) -> Decoder:
    names = file.by_name
    points = next(names[name] for name in POINTS if name in names)
    labels = next(names[name] for name in LABELS if name in names)
    axis = 2 if points.name == POINTS[1] else 1
    fixed = points.shape[axis] if points.shape is not None and len(points.shape) > axis else None
    limit = MAX_POINTS if axis == 2 else None
    most = fixed if limit is None else min(limit, fixed or limit)
    return Decoder(points, labels, names.get(MASK), names.get(HAS_MASK), names.get(ORIGINAL_SIZE), most)


def match_features(encoder: OnnxFile, decoder: OnnxFile) -> dict[str, tuple[str, ...]]:
    """Which outputs of an encoder are which inputs of a decoder.

    Args:
        encoder: gives them.
        decoder: takes them.

    Returns:
        For each input that is not a prompt's the outputs that it is: by the same name, by a name that contains the
        other, by the only shape that fits, or all outputs that are left, stacked.

    Raises:
        SaywhereError: an input has none, or one of another shape.
    """
    left = list(encoder.outputs)
    needed = [value for value in decoder.inputs if value.name not in PROMPT]
    found: dict[str, tuple[str, ...]] = {}
    for rule in (_same_name, _similar_name, _only_shape):
        for value in needed:
            output = None if value.name in found else rule(value, left)
            if output is not None:
                found[value.name] = (output.name,)
                left.remove(output)
    for value in needed:
        if value.name not in found and left and value.rank == 5 and value.shape and value.shape[0] in (None, len(left)):
            found[value.name] = tuple(output.name for output in left)
            left = []
    missing = [value for value in needed if value.name not in found]
    if missing or not needed:
        raise SaywhereError(
            f"decoder '{decoder.path}': takes {', '.join(map(str, needed)) or 'no features'}, and the encoder "
            f"'{encoder.path}' gives {', '.join(map(str, encoder.outputs))}; give the two files of one model"
        )
    return found


def _same_name(value: Value, outputs: Sequence[Value]) -> Value | None:
    return _one([each for each in outputs if each.name == value.name and _fits(each, value)])


def _similar_name(value: Value, outputs: Sequence[Value]) -> Value | None:
    alike = [each for each in outputs if each.name in value.name or value.name in each.name]
    return _one([each for each in alike if _fits(each, value)])


def _only_shape(value: Value, outputs: Sequence[Value]) -> Value | None:
    return _one([each for each in outputs if value.shape is not None and each.shape is not None and _fits(each, value)])


def _one(values: Sequence[Value]) -> Value | None:
    return values[0] if len(values) == 1 else None


def _fits(output: Value, value: Value) -> bool:
    """Whether an output can be an input, as far as the files say."""
    if output.shape is None or value.shape is None:
        return True
    return len(output.shape) == len(value.shape) and all(
        a is None or b is None or a == b for a, b in zip(output.shape, value.shape, strict=True)
    )
