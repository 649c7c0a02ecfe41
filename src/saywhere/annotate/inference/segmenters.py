"""Photographs in memory with their features, each looked at once, and Segmenters that stand where a prompt stands."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from saywhere.annotate.photos import Opened
from saywhere.core.prompt import Click
from saywhere.core.settings import Settings
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.base import PurifyingRuntime, Runtime

Said = tuple[Click | str | None, ...]
FEATURES = 32 << 20  # bytes that a photograph's features may take, counted with its pixels
OBJECTS = 32  # of one photograph, whose Segmenters are kept


@dataclass
class _Kept:
    opened: Opened
    looked: Segmenter | None = None
    by_label: dict[str, Segmenter] = field(default_factory=dict)
    standing: OrderedDict[tuple[int, int], tuple[Said, Segmenter]] = field(default_factory=OrderedDict)

    @property
    def bytes(self) -> int:
        return self.opened.pixels.nbytes + FEATURES


class SegmenterCache:
    """The photographs used last, within ``most`` bytes; always at least one.

    Pixels are kept by the photograph's hash, and the weights are the process's own, so features are those of
    (photograph, weights). Opening is for any thread; whatever returns a Segmenter is for the desk's thread alone.
    """

    def __init__(
        self, runtime: Runtime, settings: Settings | None = None, most: int = 1 << 30,
        adapted: Callable[[str], PurifyingRuntime | None] = lambda label: None,
    ) -> None:  # fmt: skip
        """``adapted`` gives the network with what was learned of a label, if anything was."""
        self.runtime, self._adapted = runtime, adapted
        self._settings = settings
        self._most = most
        self._kept: OrderedDict[str, _Kept] = OrderedDict()
        self._names: OrderedDict[tuple[str, tuple[int, int]], str] = OrderedDict()
        self._lock = threading.Lock()
        self._reading: dict[str, threading.Lock] = {}

    def open(self, path: str, stamp: tuple[int, int], read: Callable[[], Opened]) -> Opened:
        """The photograph that ``path`` named when its file had this stamp; read once, by one thread."""
        with self._lock:
            gate = self._reading.setdefault(path, threading.Lock())
        with gate:
            known = self._known(path, stamp)
            if known is not None:
                return known
            opened = read()
            with self._lock:
                self._names[(path, stamp)] = opened.sha256
                while len(self._names) > 10_000:
                    self._names.popitem(last=False)
                kept = self._kept.setdefault(opened.sha256, _Kept(opened))
                self._kept.move_to_end(opened.sha256)
                self._forget()
            return kept.opened

    def _known(self, path: str, stamp: tuple[int, int]) -> Opened | None:
        with self._lock:
            kept = self._kept.get(self._names.get((path, stamp), ""))
            if kept is None:
                return None
            self._kept.move_to_end(kept.opened.sha256)
            return kept.opened

    def _forget(self) -> None:
        while len(self._kept) > 1 and sum(kept.bytes for kept in self._kept.values()) > self._most:
            self._kept.popitem(last=False)

    def _of(self, opened: Opened) -> _Kept:
        with self._lock:
            kept = self._kept.setdefault(opened.sha256, _Kept(opened))
            self._kept.move_to_end(opened.sha256)
            self._forget()
            return kept

    def look(self, opened: Opened) -> Segmenter:
        """A Segmenter of the photograph without a prompt; its features are there from now on."""
        kept = self._of(opened)
        if kept.looked is None:
            kept.looked = Segmenter(self.runtime, self._settings).set_image(opened.pixels)
            # One copy of the pixels is enough.
            kept.opened = Opened(kept.looked.encoded.photo, opened.sha256)
        return kept.looked

    def _look_for(self, opened: Opened, label: str | None) -> Segmenter:
        """A Segmenter with what was learned of a label when its first object here was begun: not changed later on."""
        looked, known = self.look(opened), self._of(opened).by_label
        if label is None:
            return looked
        if label not in known:
            adapted = self._adapted(label)
            known[label] = looked if adapted is None else looked.new_object(adapted)
        return known[label]

    def stand(self, opened: Opened, object: tuple[int, int], said: Said, label: str | None = None) -> Segmenter:
        """A Segmenter that was told ``said``, for an object (photograph, number) of a label.

        The one that stood there before goes a step on or back; only where that does not lead there is all said anew.
        """
        looked = self._look_for(opened, label)
        standing = self._of(opened).standing
        past, segmenter = standing.pop(object, ((), looked.new_object()))
        if past[:-1] == said and past:
            segmenter.undo()
        elif said[: len(past)] == past:
            tell(segmenter, said[len(past) :])
        else:
            segmenter = looked.new_object()
            tell(segmenter, said)
        standing[object] = (said, segmenter)
        while len(standing) > OBJECTS:
            standing.popitem(last=False)
        return segmenter


def tell(segmenter: Segmenter, said: Said) -> None:
    """Say clicks and phrases to a Segmenter, one after another."""
    for one in said:
        if isinstance(one, Click):
            segmenter.add(one)
        else:
            segmenter.say(one)
