"""The protocol between a Segmenter and whatever computes its masks. Everything that passes is numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, Self

import numpy as np

from saywhere.core.arrays import BoolArray, FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.deprecation import warn_renamed
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import NoMapError, SaywhereError
from saywhere.text.vocabulary import Vocabulary
from saywhere.text.words import Words, shipped_words

Parameters = Mapping[str, FloatArray]
EMBEDDING_STRIDE = 16


@dataclass(frozen=True)
class Capabilities:
    """What a runtime can do. Whoever uses one reads these fields and nothing else.

    Attributes:
        phrases: whether :meth:`Runtime.decode` uses a prompt's phrase.
        words: the words that it knows; None for those that ship with the package.
        vocabulary: the phrases that it was trained on; None where its weights do not say.
        relevance: whether :meth:`Runtime.relevance` returns a relevance map.
        calibrated_relevance: whether that map is low everywhere for an object that is not in the image, and not only
            lower where it fits less.
        salient: whether it answers an empty prompt with what stands out.
        boxes: whether a box is a prompt.
        candidates: how many masks one prompt gives.
        max_clicks: how many clicks a prompt may hold; None: any number.
        negative_clicks: whether clicks off the object are among them.
        drags: whether a click may have a radius.
        single_click: the name of an earlier release for ``max_clicks=1, negative_clicks=False``.
        image_tokens: whether crops of an image share tokens of it, see :meth:`Runtime.tokens`.
        purification_strides: image pixels to a cell of each level of the purification layer, finest first; empty
            without such a layer.
        device: where it computes, for example "cpu" or "cuda:0".
        backend: the library that computes: "onnxruntime", "torch" or "numpy".
    """

    phrases: bool = False
    words: Words | None = None
    vocabulary: Vocabulary | None = None
    relevance: bool = False
    calibrated_relevance: bool = False
    salient: bool = False
    boxes: bool = False
    candidates: int = 1
    max_clicks: int | None = None
    negative_clicks: bool = True
    drags: bool = True
    single_click: bool = False
    image_tokens: bool = False
    purification_strides: tuple[int, ...] = ()
    device: str = "cpu"
    backend: str = "numpy"

    def __post_init__(self) -> None:
        only_one = self.max_clicks == 1 and not self.negative_clicks
        if self.single_click and not only_one:
            warn_renamed("Capabilities(single_click=True)", "max_clicks=1, negative_clicks=False", stacklevel=4)
            object.__setattr__(self, "max_clicks", 1)
            object.__setattr__(self, "negative_clicks", False)
        object.__setattr__(self, "single_click", only_one or self.single_click)

    @property
    def clicks_in_words(self) -> str:
        """Which clicks a prompt may hold, for example "one positive click"."""
        sign = "" if self.negative_clicks else "positive "
        if self.max_clicks is None:
            return f"{sign}clicks"
        return f"one {sign}click" if self.max_clicks == 1 else f"at most {self.max_clicks} {sign}clicks"

    def click_problem(self, clicks: Sequence[Click], name: str) -> str | None:
        """What is wrong with the clicks of a prompt, the last of which is new; None where they can all be used.

        Args:
            clicks: all clicks and drags.
            name: of the runtime.

        Example:
            >>> one = Capabilities(max_clicks=1, negative_clicks=False)
            >>> one.click_problem([Click(1, 2)], "multistage") is None
            True
            >>> one.click_problem([Click(1, 2), Click(3, 4)], "multistage")
            "second click: 'multistage' takes one positive click; undo the first, or use other weights"
        """
        if self.max_clicks is not None and len(clicks) > self.max_clicks:
            which = "second click" if self.max_clicks == 1 else f"click {len(clicks)}"
            undo = "the first" if self.max_clicks == 1 else "another"
            return f"{which}: '{name}' takes {self.clicks_in_words}; undo {undo}, or use other weights"
        if not self.negative_clicks and any(not click.positive for click in clicks):
            return f"negative click: '{name}' takes {self.clicks_in_words}; click on the object, or use other weights"
        if not self.drags and any(click.radius is not None for click in clicks):
            return f"drag: '{name}' takes no drags; click without a radius, or use other weights"
        return None


def vocabulary_of(metadata: Mapping[str, Any], words: Words | None) -> Vocabulary | None:
    """The phrases that weights were trained on, as their metadata list them; None where they do not."""
    phrases = metadata.get("phrases")
    return Vocabulary(phrases, words or shipped_words()) if phrases else None


class Runtime(Protocol):
    """Computes features of an image once and logits for every prompt.

    A method of one's own subclasses it, sets ``name`` and implements :meth:`encode` and :meth:`decode`.

    Attributes:
        name: what tables and messages call it.
        digest: names its weights: equal digests give equal answers.
        capabilities: what it can do.
        metadata: what the weights file says of itself.
        source: the weights file; None for a method without one.

    Example:
        >>> import numpy as np
        >>> class Threshold(Runtime):
        ...     name = "threshold"
        ...     def encode(self, image):
        ...         return image.mean(axis=2)
        ...     def decode(self, features, prompt, previous):
        ...         click = prompt.clicks[0]
        ...         return 20.0 - abs(features - features[round(click.y), round(click.x)])
        >>> Threshold().capabilities.phrases
        False
    """

    name: str
    digest: str = ""
    capabilities: Capabilities = Capabilities()
    metadata: Mapping[str, Any] = MappingProxyType({})
    source: Path | None = None

    def encode(self, image: ImageArray) -> Any:
        """Compute what decoding needs of an image.

        Args:
            image: ``(H, W, 3)`` uint8 RGB, any height and width.

        Returns:
            Features, which only :meth:`decode` and :meth:`relevance` of the same runtime read.
        """
        ...

    def tokens(self, image: ImageArray) -> FloatArray:
        """Compute tokens of a whole image, where ``capabilities.image_tokens`` says that there are some.

        Args:
            image: ``(H, W, 3)`` uint8 RGB, any height and width.

        Returns:
            ``(C, h, w)``, see :mod:`saywhere.core.image_tokens`.
        """
        raise SaywhereError(f"'{self.name}' has no tokens")

    def encode_crop(self, image: ImageArray, crop: Crop, tokens: FloatArray) -> Any:
        """Compute what decoding needs of a crop of an image whose tokens are known.

        Args:
            image: ``(H, W, 3)`` uint8 RGB, the whole image.
            crop: what is encoded of it.
            tokens: what :meth:`tokens` returned for the image.

        Returns:
            As :meth:`encode`.
        """
        raise SaywhereError(f"'{self.name}' has no tokens")

    def decode(self, features: Any, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        """Compute logits for a prompt.

        Args:
            features: what :meth:`encode` returned.
            prompt: clicks in pixels of the encoded image, and a phrase.
            previous: ``(H, W)`` probability of the previous mask; None without one.

        Returns:
            ``(H, W)`` logits; above 0 means on the object.
        """
        ...

    def decode_candidates(
        self, features: Any, prompt: Prompt, previous: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        """Compute all candidate masks for a prompt, of which :meth:`decode` returns the one with the highest score.

        Args:
            features: what :meth:`encode` returned.
            prompt: clicks and a box in pixels of the encoded image, and a phrase.
            previous: ``(H, W)`` probability of the previous mask; None without one.

        Returns:
            ``(n, H, W)`` logits, and ``(n,)`` the predicted IoU of each; that of a method with one mask is 0.5.
        """
        return self.decode(features, prompt, previous)[None], np.full(1, 0.5, np.float32)

    def relevance(self, features: Any, phrase: str) -> FloatArray:
        """Compute the relevance map of a phrase.

        Args:
            features: what :meth:`encode` returned.
            phrase: what to look for.

        Returns:
            ``(H, W)`` probability that the phrase applies to each pixel.

        Raises:
            NoMapError: this runtime has no relevance map.
        """
        raise NoMapError(f"phrase {phrase!r}: '{self.name}' has no relevance map")

    def embedding(self, features: Any) -> FloatArray:
        """What the network knows of an image without a prompt.

        Args:
            features: what :meth:`encode` returned.

        Returns:
            ``(C, h, w)``.

        Raises:
            SaywhereError: its features are not of this form.
        """
        raise SaywhereError(f"'{self.name}' has no embedding of an image")

    def cost(self, size: ImageSize) -> dict[str, int]:
        """Count parameters and multiply-adds.

        Args:
            size: of the encoded image.

        Returns:
            ``parameters``, ``encode_multiply_adds`` and ``decode_multiply_adds``; empty where they are not known.
        """
        return {}


class PurifyingRuntime(Runtime, Protocol):
    """A runtime whose network has a purification layer, which a sequence teaches.

    The layer is a 1x1 convolution with a ReLU for each feature level (Sequential Interactive Image Segmentation,
    sections 3.1 and 3.3). Parameters map names to arrays; the names are the runtime's own.
    """

    def purification_parameters(self) -> Parameters:
        """The parameters of the purification layer."""
        ...

    def with_purification(self, parameters: Parameters) -> Self:
        """The same network with other parameters of the purification layer; all else is shared."""
        ...

    def levels(self, features: Any, kind: str) -> list[FloatArray]:
        """Feature levels of one image.

        Args:
            features: what :meth:`encode` returned.
            kind: "raw" before or "pure" after the purification layer. "raw" may have further levels at the end, which
                the layer leaves as they are.

        Returns:
            ``(C, h, w)`` for each level, finest first.
        """
        ...

    def embedding(self, features: Any) -> FloatArray:
        """The purified level whose stride is nearest to 16, which is SAM's."""
        strides = self.capabilities.purification_strides
        if not strides:
            return super().embedding(features)
        level = min(range(len(strides)), key=lambda i: abs(strides[i] - EMBEDDING_STRIDE))
        return self.levels(features, "pure")[level]

    def purified(self, level: int, vectors: FloatArray) -> FloatArray:
        """Apply the purification layer to single cells.

        Args:
            level: 0 for the finest.
            vectors: ``(N, C)`` raw feature vectors.

        Returns:
            ``(N, D)`` purified vectors.
        """
        ...

    def purify(self, features: Any) -> Any:
        """Features of another runtime, which differs in its purification layer alone, for this one."""
        ...

    def purification_gradient(
        self, raw: Sequence[FloatArray], prompt: Prompt, target: BoolArray, counted: BoolArray
    ) -> tuple[float, Parameters]:
        """The loss of one example and its gradient (section 3.3: only the purification layer learns).

        Args:
            raw: the raw levels of an image, each ``(C, h, w)``.
            prompt: clicks in pixels of that image, and a phrase.
            target: ``(H, W)`` the true mask.
            counted: ``(H, W)`` which pixels count.

        Returns:
            The mean binary cross-entropy, and its gradient for each parameter.
        """
        ...
