"""A photograph with what a network found in it: looked at once, asked about often."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

import numpy as np

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.runtime.base import PurifyingRuntime, Runtime


class EncodedImage:
    """A photograph with the features of every crop of it that is in use; shared by its objects."""

    def __init__(self, runtime: Runtime, photo: ImageArray, longest: int, keep: int = 4) -> None:
        self.runtime, self.photo = runtime, photo
        self.size = photo.shape[0], photo.shape[1]
        self.full_crop = Crop.from_box((0, 0, self.size[1], self.size[0]), self.size, longest)
        self._features: OrderedDict[Crop, Any] = OrderedDict()
        self._relevance: dict[str, FloatArray] = {}
        self._keep = keep
        self._encode: Callable[[Crop], Any] = lambda crop: runtime.encode(crop.crop(photo))

    def purified(self, runtime: PurifyingRuntime) -> Self:
        """The same photograph for a network that differs in its purification layer alone: not encoded again."""
        other = copy.copy(self)
        other.runtime, other._features, other._relevance = runtime, OrderedDict(), {}
        other._encode = lambda crop: runtime.purify(self.features(crop))
        other.__dict__.pop("mirror", None)
        return other

    def features(self, crop: Crop) -> Any:
        """Encoded once; the whole photograph's are never dropped, of the others the last few are kept."""
        if crop not in self._features:
            self._features[crop] = self._encode(crop)
            for old in list(self._features)[: -self._keep]:
                if old != self.full_crop:
                    del self._features[old]
        elif crop != self.full_crop:
            self._features.move_to_end(crop)
        return self._features[crop]

    @cached_property
    def mirror(self) -> EncodedImage:
        """The mirrored photograph, of which no crop is encoded yet."""
        photo = np.ascontiguousarray(self.photo[:, ::-1])
        return EncodedImage(self.runtime, photo, max(self.full_crop.width, self.full_crop.height), self._keep)

    def relevance(self, phrase: str) -> FloatArray:
        """The probability that a phrase applies, in the whole photograph's crop; found once for the last phrase.

        Raises NoMapError when the network cannot tell.
        """
        if phrase not in self._relevance:
            self._relevance = {phrase: self.runtime.relevance(self.features(self.full_crop), phrase)}
        return self._relevance[phrase]
