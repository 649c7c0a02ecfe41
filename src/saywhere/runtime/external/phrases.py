"""Phrases for networks that know none: the relevance map of our own network chooses among their candidate masks."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.mask import sigmoid
from saywhere.core.prompt import Prompt
from saywhere.core.settings import SIZE
from saywhere.runtime.base import Runtime

LEAST_SHARE = 1e-6  # of the agreement with a relevance map, so that no score becomes 0


@dataclass
class PhraseFeatures:
    """An image that two networks have encoded, the second one when it is first needed.

    Attributes:
        features: of the network that gives masks.
        image: ``(h, w, 3)`` RGB, as the network that understands phrases sees it.
        size: of the image that was encoded.
    """

    features: Any = field(repr=False)
    image: ImageArray = field(repr=False)
    size: ImageSize
    lock: threading.Lock = field(default_factory=threading.Lock, repr=False)
    encoded: Any = field(default=None, repr=False)


class PhraseRuntime(Runtime):
    """A network without phrases together with one that has a relevance map.

    A phrase changes which of the candidate masks is chosen, says where to click when there is no click, and gives
    proposals by name. An empty prompt is answered by the second network, which says what stands out.

    Args:
        runtime: gives the masks.
        phrases: gives the relevance maps.
    """

    def __init__(self, runtime: Runtime, phrases: Runtime) -> None:
        self.runtime, self.phrases = runtime, phrases
        self.name, self.metadata = runtime.name, runtime.metadata
        self.digest = hashlib.sha256(f"{runtime.digest}{phrases.digest}".encode()).hexdigest()
        theirs = phrases.capabilities
        self.capabilities = replace(
            runtime.capabilities,
            phrases=theirs.relevance,
            words=theirs.words,
            vocabulary=theirs.vocabulary,
            relevance=theirs.relevance,
            calibrated_relevance=theirs.calibrated_relevance,
            salient=theirs.salient,
        )

    def encode(self, image: ImageArray) -> PhraseFeatures:
        size = ImageSize(*image.shape[:2])
        scale = min(SIZE / size.longer_side, 1.0)
        width, height = (max(round(n * scale), 1) for n in (size.width, size.height))
        small = image if scale == 1.0 else cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)
        return PhraseFeatures(self.runtime.encode(image), np.asarray(small, np.uint8), size)

    def decode(self, features: PhraseFeatures, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        if not prompt.clicks and prompt.box is None:
            return self._enlarged(self.phrases.decode(self._encoded(features), prompt, None), features.size)
        if prompt.phrase is None or self.capabilities.candidates == 1:
            return self.runtime.decode(features.features, prompt.with_phrase(None), previous)
        logits, scores = self.decode_candidates(features, prompt, previous)
        return np.asarray(logits[int(scores.argmax())])

    def decode_candidates(
        self, features: PhraseFeatures, prompt: Prompt, previous: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        if not prompt.clicks and prompt.box is None:
            logits = self.decode(features, prompt, previous)
            return np.stack([logits] * self.capabilities.candidates), np.full(
                self.capabilities.candidates, 0.5, np.float32
            )
        logits, scores = self.runtime.decode_candidates(features.features, prompt.with_phrase(None), previous)
        if prompt.phrase is None or len(logits) == 1:
            return logits, scores
        return logits, by_relevance(logits, scores, self.relevance(features, prompt.phrase))

    def relevance(self, features: PhraseFeatures, phrase: str) -> FloatArray:
        relevance = self._enlarged(self.phrases.relevance(self._encoded(features), phrase), features.size)
        return np.clip(relevance, 0.0, 1.0)

    def embedding(self, features: PhraseFeatures) -> FloatArray:
        return self.runtime.embedding(features.features)

    def cost(self, size: ImageSize) -> dict[str, int]:
        return self.runtime.cost(size)

    def _encoded(self, features: PhraseFeatures) -> Any:
        with features.lock:
            if features.encoded is None:
                features.encoded = self.phrases.encode(features.image)
            return features.encoded

    def _enlarged(self, values: FloatArray, size: ImageSize) -> FloatArray:
        return np.asarray(cv2.resize(values, (size.width, size.height), interpolation=cv2.INTER_LINEAR), np.float32)


def by_relevance(logits: FloatArray, scores: FloatArray, relevance: FloatArray) -> FloatArray:
    """Scores of candidates that agree with a relevance map.

    The agreement is the IoU of a mask's probability and the map, where any of the candidates is: other objects that the
    phrase names do not count. The candidate that agrees best keeps its score.

    Args:
        logits: ``(n, H, W)``.
        scores: ``(n,)`` predicted IoU.
        relevance: ``(H, W)`` in [0, 1].

    Returns:
        ``(n,)``.

    Example:
        >>> logits = np.full((2, 1, 4), -9.0, np.float32)
        >>> logits[0, 0, :1] = logits[1, 0, :3] = 9.0
        >>> relevance = np.array([[0.9, 0.9, 0.9, 0.9]], np.float32)
        >>> by_relevance(logits, np.array([0.9, 0.8], np.float32), relevance).round(1).tolist()
        [0.30000001192092896, 0.800000011920929]
    """
    region = (logits > 0.0).any(axis=0)
    if not region.any():
        return scores
    shown, relevant = sigmoid(logits[:, region]), relevance[region]
    common = np.minimum(shown, relevant).sum(axis=1)
    agreement = common / np.maximum(np.maximum(shown, relevant).sum(axis=1), LEAST_SHARE) + LEAST_SHARE
    return np.asarray(scores * agreement / agreement.max(), np.float32)
