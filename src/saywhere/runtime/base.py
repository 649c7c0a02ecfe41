"""The protocol between a Segmenter and whatever computes its masks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from saywhere.core.images import Photo
from saywhere.core.prompt import Prompt

Float = NDArray[np.float32]


class Runner(Protocol):
    """A network behind numpy. ``digest`` names its weights; ``phrases`` says whether it understands any.

    One that does may have ``words`` of its own (:class:`saywhere.text.words.Words`), and
    ``saliency(features, phrase)``: the probability ``(H, W)`` that a phrase applies to each pixel; ``sure_map`` is true
    where that is low everywhere for a thing that is not there.
    """

    name: str
    digest: str
    phrases: bool

    def encode(self, image: Photo) -> Any:
        """``(H, W, 3)`` uint8 RGB to features."""

    def decode(self, features: Any, prompt: Prompt, previous: Float | None) -> Float:
        """A prompt in the image's pixels and the last probability ``(H, W)`` to logits ``(H, W)``."""


class PurifyingRunner(Runner, Protocol):
    """One whose network has a purification layer: :class:`saywhere.runtime.torch.TorchRunner` says what each does.

    ``model`` is what a sequence teaches.
    """

    model: Any
    strides: tuple[int, ...]

    def levels(self, features: Any, kind: str) -> list[Float]: ...

    def purified(self, level: int, vectors: Float) -> Float: ...

    def purify(self, features: Any) -> Any: ...

    def adapted(self, parameters: Mapping[str, Float]) -> PurifyingRunner: ...
