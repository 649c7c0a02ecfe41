"""The protocol between a Segmenter and whatever computes its masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.prompt import Prompt


class Runtime(Protocol):
    """A network behind numpy. ``digest`` names its weights; ``phrases`` says whether it understands any.

    One that does may have ``words`` of its own (:class:`saywhere.text.words.Words`), and
    ``relevance(features, phrase)``: the probability ``(H, W)`` that a phrase applies to each pixel;
    ``calibrated_relevance`` is true where that is low everywhere for a thing that is not there.
    """

    name: str
    digest: str
    phrases: bool

    def encode(self, image: ImageArray) -> Any:
        """``(H, W, 3)`` uint8 RGB to features."""

    def decode(self, features: Any, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        """A prompt in the image's pixels and the last probability ``(H, W)`` to logits ``(H, W)``."""


class PurifyingRuntime(Runtime, Protocol):
    """One whose network has a purification layer: :class:`saywhere.runtime.torch.TorchRuntime` says what each does.

    ``model`` is what a sequence teaches.
    """

    model: Any
    strides: tuple[int, ...]

    def levels(self, features: Any, kind: str) -> list[FloatArray]: ...

    def purified(self, level: int, vectors: FloatArray) -> FloatArray: ...

    def purify(self, features: Any) -> Any: ...

    def adapted(self, parameters: Mapping[str, FloatArray]) -> PurifyingRuntime: ...
