"""A runtime that measures how long encoding and decoding take."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from saywhere.core.images import Photo
from saywhere.core.prompt import Prompt
from saywhere.errors import NoMapError
from saywhere.runtime.base import Runner


@dataclass
class Spent:
    """Milliseconds of encoding and of decoding."""

    encode: float = 0.0
    decode: float = 0.0


class TimedRunner:
    """A runner that sums the milliseconds of its encodings and decodings; all else is the runner's own, not timed."""

    def __init__(self, runner: Runner, spent: Spent | None = None) -> None:
        self.runner, self.spent = runner, spent or Spent()
        self.name, self.digest, self.phrases = runner.name, runner.digest, runner.phrases

    def __getattr__(self, name: str) -> Any:
        if name == "runner":  # not there yet while a copy is made
            raise AttributeError(name)
        return getattr(self.runner, name)

    def adapted(self, parameters: Mapping[str, Any]) -> TimedRunner:
        """The adapted runner, whose time is counted with this one's."""
        runner: Any = self.runner
        return TimedRunner(runner.adapted(parameters), self.spent)

    def encode(self, image: Photo) -> Any:
        started = time.perf_counter()
        features = self.runner.encode(image)
        self.spent.encode += milliseconds(started)
        return features

    def decode(self, features: Any, prompt: Prompt, previous: Any) -> Any:
        started = time.perf_counter()
        logits = self.runner.decode(features, prompt, previous)
        self.spent.decode += milliseconds(started)
        return logits

    def saliency(self, features: Any, phrase: str) -> Any:
        """A part of the answer: it says where to look, and whether a phrase fits."""
        saliency = getattr(self.runner, "saliency", None)
        if saliency is None:
            raise NoMapError(f"phrase {phrase!r}: '{self.name}' has no map of where a phrase applies")
        started = time.perf_counter()
        found = saliency(features, phrase)
        self.spent.decode += milliseconds(started)
        return found

    def take(self) -> tuple[float, float]:
        """Milliseconds of encoding and of decoding since the last call."""
        taken = self.spent.encode, self.spent.decode
        self.spent.encode = self.spent.decode = 0.0
        return taken


def milliseconds(started: float) -> float:
    return 1000.0 * (time.perf_counter() - started)
