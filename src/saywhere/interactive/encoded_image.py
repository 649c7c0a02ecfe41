"""An image with the features of its crops: encoded once, decoded often."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

import numpy as np

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.deprecation import renamed_methods
from saywhere.core.geometry import ImageSize
from saywhere.core.mask import sigmoid
from saywhere.core.prompt import Prompt
from saywhere.runtime.base import PurifyingRuntime, Runtime


@renamed_methods(photo="image")
class EncodedImage:
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
        self._features: OrderedDict[Crop, Any] = OrderedDict()
        self._relevance: dict[str, FloatArray] = {}
        self._saliency: FloatArray | None = None
        self._cache_size = cache_size
        self._encode: Callable[[Crop], Any] = lambda crop: runtime.encode(crop.crop(image))

    def purified(self, runtime: PurifyingRuntime) -> Self:
        """The same image for a runtime with another purification layer: it is not encoded again."""
        other = copy.copy(self)
        other.runtime, other._features, other._relevance, other._saliency = runtime, OrderedDict(), {}, None
        other._encode = lambda crop: runtime.purify(self.features(crop))
        other.__dict__.pop("mirror", None)
        return other

    def features(self, crop: Crop) -> Any:
        """The features of a crop, encoded once. Those of the full crop are always kept, of others the last few."""
        if crop not in self._features:
            self._features[crop] = self._encode(crop)
            for old in list(self._features)[: -self._cache_size]:
                if old != self.full_crop:
                    del self._features[old]
        elif crop != self.full_crop:
            self._features.move_to_end(crop)
        return self._features[crop]

    @cached_property
    def mirror(self) -> EncodedImage:
        """The mirrored image, of which no crop is encoded yet."""
        mirrored = np.ascontiguousarray(self.image[:, ::-1])
        return EncodedImage(self.runtime, mirrored, max(self.full_crop.width, self.full_crop.height), self._cache_size)

    @property
    def saliency(self) -> FloatArray:
        """``(h, w)`` probability of what stands out, in pixels of the full crop: the answer to an empty prompt."""
        if self._saliency is None:
            self._saliency = sigmoid(self.runtime.decode(self.features(self.full_crop), Prompt(), None))
        return self._saliency

    def relevance(self, phrase: str) -> FloatArray:
        """The relevance map of a phrase in pixels of the full crop; that of the last phrase is kept.

        Raises:
            NoMapError: the runtime has no relevance map.
        """
        if phrase not in self._relevance:
            self._relevance = {phrase: self.runtime.relevance(self.features(self.full_crop), phrase)}
        return self._relevance[phrase]
