"""Exports of SAM's family, run by ONNX Runtime."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import PADDING, Click, Prompt
from saywhere.errors import SaywhereError
from saywhere.runtime.base import Capabilities, Runtime
from saywhere.runtime.external.graph import Graph
from saywhere.runtime.external.layouts import Layout, is_whole_model, recognise
from saywhere.runtime.external.onnx_file import Value
from saywhere.runtime.external.placing import Place, encoder_input

SMALL = 64  # longer side of the masks that are asked for where those of low resolution are used
SEVERAL = 4  # masks of a decoder whose first one is for prompts of several points, and whose others are for one click
NOT_MEANT = 0.5  # factor of the scores of masks that are not for such a prompt, so that none of them is chosen


@dataclass(frozen=True)
class SamFeatures:
    """An encoded image.

    Attributes:
        place: where it lies in the square that the network sees.
        arrays: the feature inputs of the decoder by name.
    """

    place: Place
    arrays: Mapping[str, NDArray[Any]] = field(repr=False)


class DecoderOutput(NamedTuple):
    """What a decoder gives for a prompt.

    Attributes:
        logits: ``(n, h, w)`` of the masks.
        scores: ``(n,)`` predicted IoU.
        is_of_image: whether the masks have the size that was asked for; else they are of the square that the network
            sees.
    """

    logits: FloatArray
    scores: FloatArray
    is_of_image: bool


class SamRuntime(Runtime):
    """Runs an encoder and a decoder of SAM's family: SAM, MobileSAM, EdgeSAM, EfficientSAM, HQ-SAM, SAM 2.

    Args:
        first: the encoder or the decoder.
        second: the other.

    Raises:
        SaywhereError: the files are not such a pair.
    """

    def __init__(self, first: Path, second: Path) -> None:
        graphs = [Graph(path) for path in (first, second)]
        for graph in graphs:
            if is_whole_model(graph.file):
                raise SaywhereError(
                    f"model file {graph.file}: encoder and decoder in one file, which would encode the image for every "
                    "click; export them as two"
                )
        encoder, decoder, self.layout = recognise(graphs[0].file, graphs[1].file)
        self._encoder, self._decoder = sorted(graphs, key=lambda graph: graph.file is decoder)
        self.name = f"{self.layout.family}:{encoder.path.stem}"
        self.digest = hashlib.sha256(f"{encoder.digest()}{decoder.digest()}".encode()).hexdigest()
        self.metadata = {"model": self.layout.family, "size": self.layout.side, "zoom": False, "previous_mask_from": 2}
        self._low_resolution = False
        answer = self._try_decoder()
        self._low_resolution = self.layout.decoder.original_size is not None and not answer.is_of_image
        self.capabilities = Capabilities(
            boxes=self.layout.decoder.max_points is None or self.layout.decoder.max_points > 2,
            candidates=len(answer.scores),
            max_clicks=self.layout.decoder.max_points,
            backend="onnxruntime",
        )

    def encode(self, image: ImageArray) -> SamFeatures:
        place, encoder = Place.of(ImageSize(*image.shape[:2]), self.layout), self.layout.encoder
        outputs = self._encoder.run({encoder.image.name: encoder_input(image, encoder, place)})
        arrays = {}
        for name, given in self.layout.features.items():
            found = [outputs[each] for each in given]
            arrays[name] = found[0] if len(found) == 1 else np.stack(found)
        return SamFeatures(place, arrays)

    def decode(self, features: SamFeatures, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        logits, scores = self.decode_candidates(features, prompt, previous)
        return np.asarray(logits[int(scores.argmax())])

    def decode_candidates(
        self, features: SamFeatures, prompt: Prompt, previous: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        place = features.place
        points, labels = place.points(prompt, self.layout.decoder.max_points)
        mask = None if previous is None else place.from_probability(previous)
        outputs = self._decoder.run({**features.arrays, **self._prompt_inputs(place, points, labels, mask)})
        answer = read_outputs(outputs, self.layout)
        logits, scores = answer.logits if answer.is_of_image else place.to_image(answer.logits), answer.scores
        if logits.shape[1:] != place.image:
            raise SaywhereError(
                f"decoder '{self._decoder.file.path}': gives masks of {logits.shape[2]}x{logits.shape[1]} pixels, and "
                f"{place.image.width}x{place.image.height} are expected"
            )
        if self.layout.family in ("sam", "sam-hq") and len(logits) == SEVERAL:
            scores = for_prompt(scores, int((labels != PADDING).sum()) > 1)
        return logits, scores

    def embedding(self, features: SamFeatures) -> FloatArray:
        smallest = min(features.arrays.values(), key=lambda array: (array.ndim != 4, array.shape[-1]))
        return np.asarray(smallest[0], np.float32)

    def _prompt_inputs(
        self, place: Place, points: FloatArray, labels: FloatArray, mask: FloatArray | None
    ) -> dict[str, NDArray[Any]]:
        decoder = self.layout.decoder
        if self.layout.family in ("sam", "sam-hq") and len(labels) == (labels < 2).sum():
            # SAM was trained with such a point where there is no box.
            points, labels = np.vstack([points, [[0.0, 0.0]]]), np.append(labels, PADDING)
        lead = (None, None) if decoder.is_batched else (None,)
        given: list[tuple[Value | None, NDArray[Any]]]
        given = [(decoder.points, points[lead]), (decoder.labels, labels[lead])]
        side = self.layout.side // 4
        given += [(decoder.mask, (np.zeros((side, side), np.float32) if mask is None else mask)[None, None])]
        given += [(decoder.has_mask, np.array([mask is not None], np.float32))]
        given += [(decoder.original_size, np.array(self._asked_size(place)))]
        return {value.name: as_input(array, value) for value, array in given if value is not None}

    def _asked_size(self, place: Place) -> ImageSize:
        """The size of the masks that the decoder enlarges: a small one where those of low resolution are used."""
        if not self._low_resolution:
            return place.image
        scale = min(SMALL / place.image.longer_side, 1.0)
        return ImageSize(*(max(round(n * scale), 1) for n in place.image))

    def _try_decoder(self) -> DecoderOutput:
        """What the decoder gives for features of zeros: how many masks, of which size, and whether it runs at all."""
        given = self._decoder.file.by_name
        place = Place.of(ImageSize(SMALL, SMALL), self.layout)
        shapes = [given[name].shape for name in self.layout.features]
        if all(shape is not None and None not in shape[1:] for shape in shapes):
            arrays = {
                name: np.zeros([n or 1 for n in shape or ()], given[name].dtype or np.float32)
                for name, shape in zip(self.layout.features, shapes, strict=True)
            }
            features = SamFeatures(place, arrays)
        else:
            features = self.encode(np.zeros((SMALL, SMALL, 3), np.uint8))
        points, labels = place.points(Prompt((Click(SMALL / 2, SMALL / 2),)))
        outputs = self._decoder.run({**features.arrays, **self._prompt_inputs(place, points, labels, None)})
        return read_outputs(outputs, self.layout)


def as_input(array: NDArray[Any], value: Value) -> NDArray[Any]:
    """An array in the type that an input has."""
    return np.ascontiguousarray(array, value.dtype or np.float32)


def read_outputs(outputs: Mapping[str, NDArray[Any]], layout: Layout) -> DecoderOutput:
    """Masks and scores of a decoder's outputs, which are in another order in each export.

    Args:
        outputs: by name.
        layout: of the decoder.

    Raises:
        SaywhereError: there are no masks or no scores among them.
    """
    masks = {name: array for name, array in outputs.items() if array.ndim == (5 if layout.decoder.is_batched else 4)}
    asks_size = layout.decoder.original_size is not None
    # Those of the original size depend, in some exports, on the shape of the image with which they were made.
    low = [name for name in masks if asks_size and "low_res" in name]
    name = next(iter(low), max(masks, key=lambda each: masks[each].shape[-1], default=None))
    scored = [each for each in outputs if outputs[each].ndim < 4 and ("iou" in each or "score" in each)]
    if name is None or not scored:
        shapes = ", ".join(f"{each} ({' x '.join(map(str, array.shape))})" for each, array in outputs.items())
        raise SaywhereError(f"decoder: its outputs are {shapes}; masks (1 x n x h x w) and their scores are expected")
    logits = np.asarray(masks[name], np.float32)
    logits, scores = logits.reshape(-1, *logits.shape[-2:]), np.asarray(outputs[scored[0]], np.float32).reshape(-1)
    if len(logits) != len(scores):
        raise SaywhereError(f"decoder: gives {len(logits)} masks and {len(scores)} scores; one score each is expected")
    return DecoderOutput(logits, scores, asks_size and not low)


def for_prompt(scores: FloatArray, has_several_points: bool) -> FloatArray:
    """The predicted IoU of SAM's four masks, lowered for those that are not meant for a prompt.

    The first mask is for prompts of several points, the others are candidates for a single click.

    Example:
        >>> for_prompt(np.array([0.9, 0.5, 0.8, 0.7], np.float32), False).tolist()
        [0.25, 0.5, 0.800000011920929, 0.699999988079071]
    """
    is_first = np.arange(len(scores)) == 0
    unwanted = is_first != has_several_points
    least = scores[~unwanted].min() if unwanted.any() else 0.0
    return np.where(unwanted, np.minimum(scores, least) * NOT_MEANT, scores).astype(np.float32)
