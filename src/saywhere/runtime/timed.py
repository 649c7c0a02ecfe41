"""A runtime that measures how long encoding and decoding take."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

from saywhere.core.arrays import BoolArray, FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Prompt
from saywhere.runtime.base import Parameters, PurifyingRuntime, Runtime


@dataclass
class Timings:
    """Milliseconds of encoding and of decoding."""

    encode: float = 0.0
    decode: float = 0.0


class TimedRuntime(PurifyingRuntime):
    """Passes everything to another runtime, and sums the milliseconds of its encodings and decodings.

    A relevance map counts as decoding, because the answer to a phrase needs it. What a sequence learns is not timed.

    Args:
        runtime: the runtime to measure; where it has no purification layer, its methods must not be called.
        timings: where to sum; shared by runtimes that differ in their purification layer alone.
    """

    def __init__(self, runtime: Runtime, timings: Timings | None = None) -> None:
        self.runtime, self.timings = runtime, timings or Timings()
        self.name, self.digest = runtime.name, runtime.digest
        self.capabilities = runtime.capabilities
        self.metadata = runtime.metadata

    def encode(self, image: ImageArray) -> Any:
        started = time.perf_counter()
        features = self.runtime.encode(image)
        self.timings.encode += milliseconds(started)
        return features

    def tokens(self, image: ImageArray) -> FloatArray:
        started = time.perf_counter()
        tokens = self.runtime.tokens(image)
        self.timings.encode += milliseconds(started)
        return tokens

    def encode_crop(self, image: ImageArray, crop: Crop, tokens: FloatArray) -> Any:
        started = time.perf_counter()
        features = self.runtime.encode_crop(image, crop, tokens)
        self.timings.encode += milliseconds(started)
        return features

    def decode(self, features: Any, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        started = time.perf_counter()
        logits = self.runtime.decode(features, prompt, previous)
        self.timings.decode += milliseconds(started)
        return logits

    def decode_candidates(
        self, features: Any, prompt: Prompt, previous: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        started = time.perf_counter()
        candidates = self.runtime.decode_candidates(features, prompt, previous)
        self.timings.decode += milliseconds(started)
        return candidates

    def relevance(self, features: Any, phrase: str) -> FloatArray:
        started = time.perf_counter()
        relevance = self.runtime.relevance(features, phrase)
        self.timings.decode += milliseconds(started)
        return relevance

    def cost(self, size: ImageSize) -> dict[str, int]:
        return self.runtime.cost(size)

    def take(self) -> tuple[float, float]:
        """Milliseconds of encoding and of decoding since the last call."""
        taken = self.timings.encode, self.timings.decode
        self.timings.encode = self.timings.decode = 0.0
        return taken

    @property
    def _purifying(self) -> PurifyingRuntime:
        return cast(PurifyingRuntime, self.runtime)

    def purification_parameters(self) -> Parameters:
        return self._purifying.purification_parameters()

    def with_purification(self, parameters: Parameters) -> Self:
        return type(self)(self._purifying.with_purification(parameters), self.timings)

    def levels(self, features: Any, kind: str) -> list[FloatArray]:
        return self._purifying.levels(features, kind)

    def purified(self, level: int, vectors: FloatArray) -> FloatArray:
        return self._purifying.purified(level, vectors)

    def purify(self, features: Any) -> Any:
        return self._purifying.purify(features)

    def purification_gradient(
        self, raw: Sequence[FloatArray], prompt: Prompt, target: BoolArray, counted: BoolArray
    ) -> tuple[float, Parameters]:
        return self._purifying.purification_gradient(raw, prompt, target, counted)


def milliseconds(started: float) -> float:
    """Milliseconds since a reading of :func:`time.perf_counter`."""
    return 1000.0 * (time.perf_counter() - started)
