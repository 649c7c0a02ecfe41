"""A photograph with what a network found in it: looked at once, asked about often."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import Any, Self

import numpy as np

from saywhere.core.arrays import FloatArray as Float
from saywhere.core.crop import View
from saywhere.core.images import Photo
from saywhere.errors import NoMapError
from saywhere.runtime.base import PurifyingRunner, Runner


class Scene:
    """A photograph with the features of every view of it that is in use; shared by its objects."""

    def __init__(self, runner: Runner, photo: Photo, longest: int, keep: int = 4) -> None:
        self.runner, self.photo = runner, photo
        self.size = photo.shape[0], photo.shape[1]
        self.whole = View.of((0, 0, self.size[1], self.size[0]), self.size, longest)
        self._features: OrderedDict[View, Any] = OrderedDict()
        self._chances: dict[str, Float] = {}
        self._keep = keep
        self._encode: Callable[[View], Any] = lambda view: runner.encode(view.look(photo))

    def purified(self, runner: PurifyingRunner) -> Self:
        """The same photograph for a network that differs in its purification layer alone: not encoded again."""
        other = copy.copy(self)
        other.runner, other._features, other._chances = runner, OrderedDict(), {}
        other._encode = lambda view: runner.purify(self.features(view))
        other.__dict__.pop("mirror", None)
        return other

    def features(self, view: View) -> Any:
        """Encoded once; the whole photograph's are never dropped, of the others the last few are kept."""
        if view not in self._features:
            self._features[view] = self._encode(view)
            for old in list(self._features)[: -self._keep]:
                if old != self.whole:
                    del self._features[old]
        elif view != self.whole:
            self._features.move_to_end(view)
        return self._features[view]

    @cached_property
    def mirror(self) -> Scene:
        """The mirrored photograph, of which no view is encoded yet."""
        photo = np.ascontiguousarray(self.photo[:, ::-1])
        return Scene(self.runner, photo, max(self.whole.width, self.whole.height), self._keep)

    def chance(self, phrase: str) -> Float:
        """The probability that a phrase applies, in the whole photograph's view; found once for the last phrase.

        Raises NoMapError when the network cannot tell.
        """
        if phrase not in self._chances:
            saliency = getattr(self.runner, "saliency", None)
            if saliency is None:
                raise NoMapError(f"phrase {phrase!r}: '{self.runner.name}' has no map of where a phrase applies")
            self._chances = {phrase: saliency(self.features(self.whole), phrase)}
        return self._chances[phrase]
