"""An image with the features of its crops: encoded once, decoded often."""

from __future__ import annotations

import copy
from collections import OrderedDict
from functools import cached_property
from typing import Any, Self, cast

import numpy as np

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.deprecation import renamed_methods
from saywhere.core.geometry import ImageSize
from saywhere.core.locking import Lockable
from saywhere.core.mask import sigmoid
from saywhere.core.prompt import Prompt
from saywhere.runtime.base import PurifyingRuntime, Runtime


@renamed_methods(photo="image")
class EncodedImage(Lockable):
    """An image and the features of the crops that are in use; its objects share it.

    Args:
        runtime: encodes the crops.
        image: ``(H, W, 3)`` RGB.
        longer_side: of the full crop, in pixels.
        cache_size: of how many crops features are kept.
    """

    def __init__(self, runtime: Runtime, image: ImageArray, longer_side: int, cache_size: int = 4) -> None:
        self.runtime, self.image = runtime, image
        self.size = ImageSize(*image.shape[:2])
        self.full_crop = Crop.from_box((0, 0, self.size.width, self.size.height), self.size, longer_side)
        self._cache_size = cache_size
        self._unpurified: Self | None = None
        self._forget_features()

    def _forget_features(self) -> None:
        self._features: OrderedDict[Crop, Any] = OrderedDict()
        self._relevance: tuple[str, FloatArray] | None = None
        self._saliency: FloatArray | None = None
        self._tokens: FloatArray | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without features, which another process computes again."""
        left_out = ("_features", "_relevance", "_saliency", "_tokens", "mirror")
        return {name: value for name, value in super().__getstate__().items() if name not in left_out}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget_features()

    def purified(self, runtime: PurifyingRuntime) -> Self:
        """The same image for a runtime with another purification layer: it is not encoded again."""
        other = copy.copy(self)
        other.runtime, other._unpurified = runtime, self
        return other

    def _encode(self, crop: Crop) -> Any:
        if self._unpurified is not None:
            return cast(PurifyingRuntime, self.runtime).purify(self._unpurified.features(crop))
        if not self.runtime.capabilities.image_tokens:
            return self.runtime.encode(crop.crop(self.image))
        if self._tokens is None:
            self._tokens = self.runtime.tokens(self.image)
        return self.runtime.encode_crop(self.image, crop, self._tokens)

    def features(self, crop: Crop) -> Any:
        """The features of a crop, encoded once. Those of the full crop are always kept, of others the last few."""
        features = self._features.get(crop)
        if features is None:
            features = self._encode(crop)
        with self._lock:  # around the features that are kept, not around their computation
            self._features[crop] = features
            if crop != self.full_crop:
                self._features.move_to_end(crop)
            for old in list(self._features)[: -self._cache_size]:
                if old != self.full_crop:
                    del self._features[old]
        return features

    @cached_property
    def mirror(self) -> EncodedImage:
        """The mirrored image, of which no crop is encoded yet."""
        mirrored = np.ascontiguousarray(self.image[:, ::-1])
        return EncodedImage(self.runtime, mirrored, max(self.full_crop.width, self.full_crop.height), self._cache_size)

    @property
    def saliency(self) -> FloatArray:
        """``(h, w)`` probability of what stands out, in pixels of the full crop: the answer to an empty prompt."""
        if self._saliency is None:
            saliency = sigmoid(self.runtime.decode(self.features(self.full_crop), Prompt(), None))
            saliency.flags.writeable = False
            self._saliency = saliency
        return self._saliency

    def relevance(self, phrase: str) -> FloatArray:
        """The relevance map of a phrase in pixels of the full crop; that of the last phrase is kept.

        Raises:
            NoMapError: the runtime has no relevance map.
        """
        kept = self._relevance
        if kept is not None and kept[0] == phrase:
            return kept[1]
        relevance = self.runtime.relevance(self.features(self.full_crop), phrase).view()
        relevance.flags.writeable = False
        self._relevance = phrase, relevance
        return relevance
