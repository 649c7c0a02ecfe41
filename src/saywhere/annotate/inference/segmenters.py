"""Loaded images with their features, each encoded once, and segmenters that have answered an object's prompt."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from saywhere.annotate.image_folder import FileStamp, LoadedImage
from saywhere.annotate.inference.sizes import array_bytes
from saywhere.annotate.interactions import CandidateChoice, DrawnBox, GivenMask, Interaction
from saywhere.core.arrays import BoolArray
from saywhere.core.prompt import Click
from saywhere.core.settings import Settings
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.base import PurifyingRuntime, Runtime

Interactions = tuple[Interaction, ...]
ObjectKey = tuple[int, int]
"""Number of the image and of the object."""
FEATURE_BYTES = 16 << 20  # counted for an image's features where their real size cannot be seen
MAX_SEGMENTERS = 32  # of one image
MAX_STEPS = 8  # that the segmenter used last can take back without answering anything again; others none
MAX_STAMPS = 10_000


@dataclass
class _CachedObject:
    interactions: Interactions
    segmenter: Segmenter
    bytes: int = 0


@dataclass
class _CachedImage:
    image: LoadedImage
    encoded: Segmenter | None = None
    by_label: dict[str, Segmenter] = field(default_factory=dict)
    by_object: OrderedDict[ObjectKey, _CachedObject] = field(default_factory=OrderedDict)
    feature_bytes: int = 0

    @property
    def bytes(self) -> int:
        return self.image.pixels.nbytes + self.feature_bytes + sum(one.bytes for one in list(self.by_object.values()))

    def measure(self, key: ObjectKey | None = None) -> None:
        """Count anew what the image's features take, and the object that was worked on."""
        one = None if key is None else self.by_object.get(key)
        if one is not None:
            one.bytes = array_bytes(one.segmenter, (EncodedImage,))
        features = array_bytes([self.encoded, *self.by_label.values()]) - self.image.pixels.nbytes
        self.feature_bytes = max(features, FEATURE_BYTES if self.encoded else 0)


class SegmenterCache:
    """The images used last, within ``max_bytes``; always at least one.

    Images are kept by their file's hash, and the process has one set of weights at a time, so features belong to
    (image, weights). :meth:`load` is for any thread; what returns a Segmenter is for the inference threads, of which at
    most one works on an image.
    """

    def __init__(
        self,
        runtime: Runtime,
        settings: Settings | None = None,
        max_bytes: int = 1 << 30,
        adapted_runtime: Callable[[str], PurifyingRuntime | None] = lambda label: None,
    ) -> None:
        """``adapted_runtime`` gives the network with what was learned of a label, if anything was."""
        self.runtime, self._adapted_runtime = runtime, adapted_runtime
        self._settings = settings
        self._max_bytes = max_bytes
        self._images: OrderedDict[str, _CachedImage] = OrderedDict()
        self._hashes: OrderedDict[tuple[str, FileStamp], str] = OrderedDict()
        self._lock = threading.Lock()
        self._loading: dict[str, threading.Lock] = {}

    def load(self, path: str, stamp: FileStamp, read: Callable[[], LoadedImage]) -> LoadedImage:
        """The image at ``path`` when its file had this stamp; ``read`` is called once, by one thread."""
        with self._lock:
            gate = self._loading.setdefault(path, threading.Lock())
        with gate:
            known = self._find(path, stamp)
            if known is not None:
                return known
            image = read()
            with self._lock:
                self._hashes[(path, stamp)] = image.sha256
                while len(self._hashes) > MAX_STAMPS:
                    self._hashes.popitem(last=False)
            return self._cached(image).image

    def _find(self, path: str, stamp: FileStamp) -> LoadedImage | None:
        with self._lock:
            cached = self._images.get(self._hashes.get((path, stamp), ""))
            if cached is None:
                return None
            self._images.move_to_end(cached.image.sha256)
            return cached.image

    def _cached(self, image: LoadedImage) -> _CachedImage:
        with self._lock:
            cached = self._images.setdefault(image.sha256, _CachedImage(image))
            self._images.move_to_end(image.sha256)
            self._evict(self._max_bytes, least=1)
            return cached

    def replace_runtime(
        self, runtime: Runtime, settings: Settings | None, adapted_runtime: Callable[[str], PurifyingRuntime | None]
    ) -> None:
        """Answer with another network from now on; images stay in memory, their features do not."""
        with self._lock:
            self.runtime, self._settings, self._adapted_runtime = runtime, settings, adapted_runtime
            for sha256, cached in self._images.items():
                self._images[sha256] = _CachedImage(cached.image)

    def make_room(self, count: int) -> None:
        """Forget images until ``count`` bytes fit, before as many are read."""
        with self._lock:
            self._evict(self._max_bytes - count, least=0)

    def _evict(self, max_bytes: int, least: int) -> None:
        """Forget the images that were not used for longest; for who holds the lock."""
        total = sum(one.bytes for one in self._images.values())
        while len(self._images) > least and total > max_bytes:
            total -= self._images.popitem(last=False)[1].bytes

    def _measure(self, image: LoadedImage, key: ObjectKey | None = None) -> None:
        """Count an image's memory anew after work on it, and forget others that do not fit any more."""
        with self._lock:
            cached = self._images.get(image.sha256)
        if cached is not None:
            cached.measure(key)
            with self._lock:
                self._evict(self._max_bytes, least=1)

    def encode(self, image: LoadedImage) -> Segmenter:
        """A segmenter of the image without a prompt; the image's features are in memory from now on."""
        return self._encode(self._cached(image))

    def _encode(self, cached: _CachedImage) -> Segmenter:
        if cached.encoded is None:
            cached.encoded = Segmenter(self.runtime, self._settings).set_image(cached.image.pixels)
            self._measure(cached.image)
        return cached.encoded

    def _encode_for_label(self, cached: _CachedImage, label: str | None) -> Segmenter:
        """A segmenter with what was learned of a label when its first object here was begun: not changed later on."""
        encoded, by_label = self._encode(cached), cached.by_label
        if label is None:
            return encoded
        if label not in by_label:
            runtime = self._adapted_runtime(label)
            by_label[label] = encoded if runtime is None else encoded.new_object(runtime)
        return by_label[label]

    def segmenter_for(
        self,
        image: LoadedImage,
        key: ObjectKey,
        interactions: Interactions,
        label: str | None = None,
        given: Callable[[int], BoolArray] | None = None,
    ) -> Segmenter:
        """A segmenter that has answered an object's interactions.

        The object's last segmenter is taken a step on or back; only where that does not lead to these interactions
        are all of them answered again.

        Args:
            image: the image.
            key: the image's and the object's number.
            interactions: of the object, in order.
            label: name of the object's label, whose adapted runtime is used; None for the weights as they ship.
            given: the ``(H, W)`` mask that is stored with an event, for an object that began with one.
        """
        cached = self._cached(image)  # all of one network, even if another one takes its place meanwhile
        encoded, by_object = self._encode_for_label(cached, label), cached.by_object
        known = by_object.pop(key, None) or _CachedObject((), encoded.new_object())
        past, segmenter = known.interactions, known.segmenter
        if past and past[:-1] == interactions and segmenter.undoable:
            segmenter.undo()
        elif interactions[: len(past)] == past:
            add_interactions(segmenter, interactions[len(past) :], given)
        else:
            segmenter = encoded.new_object()
            add_interactions(segmenter, interactions, given)
        if by_object:
            last_key = next(reversed(by_object))
            by_object[last_key].segmenter.forget_steps(0)
            self._measure(image, last_key)
        segmenter.forget_steps(MAX_STEPS)
        by_object[key] = _CachedObject(interactions, segmenter)
        while len(by_object) > MAX_SEGMENTERS:
            by_object.popitem(last=False)
        self._measure(image, key)
        return segmenter


def add_interactions(
    segmenter: Segmenter, interactions: Interactions, given: Callable[[int], BoolArray] | None = None
) -> None:
    """Give a segmenter the interactions of an object, one after another; ``given`` as for ``segmenter_for``.

    Other weights may have fewer candidates than those for which one was chosen: then the largest is chosen.
    """
    for one in interactions:
        if isinstance(one, Click):
            segmenter.add(one)
        elif isinstance(one, GivenMask):
            assert given is not None, "an object that began with a mask is asked for with its masks"
            segmenter.start(given(one.event))
        elif isinstance(one, DrawnBox):
            segmenter.box(*one.box)
        elif isinstance(one, CandidateChoice):
            segmenter.choose(min(one.index, len(segmenter.candidates) - 1))
        else:
            segmenter.say(one)
