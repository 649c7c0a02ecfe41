"""A runtime that measures how long encoding and decoding take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saywhere.core.arrays import ImageArray
from saywhere.core.prompt import Prompt
from saywhere.errors import NoMapError
from saywhere.runtime.base import Runtime


@dataclass
class Timings:
    """Milliseconds of encoding and of decoding."""

    encode: float = 0.0
    decode: float = 0.0


class TimedRuntime:
    """A runtime that sums the milliseconds of its encodings and decodings; all else is the runtime's own, not timed."""

    def __init__(self, runtime: Runtime, spent: Timings | None = None) -> None:
        self.runtime, self.spent = runtime, spent or Timings()
        self.name, self.digest, self.phrases = runtime.name, runtime.digest, runtime.phrases

    def __getattr__(self, name: str) -> Any:
        if name == "runtime":  # not there yet while a copy is made
            raise AttributeError(name)
        return getattr(self.runtime, name)

    def adapted(self, parameters: Mapping[str, Any]) -> TimedRuntime:
        """The adapted runtime, whose time is counted with this one's."""
        runtime: Any = self.runtime
        return TimedRuntime(runtime.adapted(parameters), self.spent)

    def encode(self, image: ImageArray) -> Any:
        started = time.perf_counter()
        features = self.runtime.encode(image)
        self.spent.encode += milliseconds(started)
        return features

    def decode(self, features: Any, prompt: Prompt, previous: Any) -> Any:
        started = time.perf_counter()
        logits = self.runtime.decode(features, prompt, previous)
        self.spent.decode += milliseconds(started)
        return logits

    def relevance(self, features: Any, phrase: str) -> Any:
        """A part of the answer: it says where to look, and whether a phrase fits."""
        relevance = getattr(self.runtime, "relevance", None)
        if relevance is None:
            raise NoMapError(f"phrase {phrase!r}: '{self.name}' has no map of where a phrase applies")
        started = time.perf_counter()
        found = relevance(features, phrase)
        self.spent.decode += milliseconds(started)
        return found

    def take(self) -> tuple[float, float]:
        """Milliseconds of encoding and of decoding since the last call."""
        taken = self.spent.encode, self.spent.decode
        self.spent.encode = self.spent.decode = 0.0
        return taken


def milliseconds(started: float) -> float:
    return 1000.0 * (time.perf_counter() - started)
