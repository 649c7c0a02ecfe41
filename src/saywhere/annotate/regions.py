"""Stored masks as regions; those used last are in memory, so that a mask that was just made is not decoded again."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable

from saywhere.annotate.db.store import Store
from saywhere.annotate.region import Region
from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize

MAX_BYTES = 64 << 20


class RegionStore:
    """Masks by the image and the event that they are stored with. Events never change, so neither do their masks.

    Any thread may use it.
    """

    def __init__(self, store: Store, max_bytes: int = MAX_BYTES) -> None:
        self._store, self._max_bytes = store, max_bytes
        self._regions: OrderedDict[tuple[int, int], Region] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def load(self, image: int, events: Iterable[int], size: ImageSize) -> dict[int, Region]:
        """Masks of an image of ``size`` by the numbers of their events; read and decoded unless they are in memory."""
        regions, missing = {}, []
        with self._lock:
            for event in events:
                region = self._regions.get((image, event))
                if region is None:
                    missing.append(event)
                else:
                    self._regions.move_to_end((image, event))
                    regions[event] = region
        for event, counts in self._store.load_masks(image, missing).items():
            regions[event] = Region.decode(counts, size)
            self.keep(image, event, regions[event])
        return regions

    def mask(self, image: int, event: int, size: ImageSize) -> BoolArray:
        """The ``(H, W)`` mask that is stored with an event."""
        return self.load(image, [event], size)[event].to_image(size)

    def keep(self, image: int, event: int, region: Region) -> None:
        """Have a mask in memory; its pixels must not be changed afterwards."""
        with self._lock:
            if (image, event) not in self._regions:
                self._regions[(image, event)] = region
                self._bytes += region.mask.nbytes
            while self._bytes > self._max_bytes and self._regions:
                self._bytes -= self._regions.popitem(last=False)[1].mask.nbytes
