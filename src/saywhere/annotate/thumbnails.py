"""Small pictures for the list, made once and kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

from saywhere.annotate.photos import Folder

MOST = 64 << 20  # bytes in all


class Thumbnails:
    """The thumbnails used last."""

    def __init__(self, folder: Folder, most: int = MOST) -> None:
        self._folder, self._most = folder, most
        self._kept: OrderedDict[tuple[str, tuple[int, int]], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def of(self, path: str) -> bytes:
        """A photograph's, as JPEG; errors as in :meth:`saywhere.annotate.photos.Folder.thumbnail`."""
        key = path, self._folder.stamp(path)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = self._folder.thumbnail(path)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += len(made)
                while self._bytes > self._most:
                    self._bytes -= len(self._kept.popitem(last=False)[1])
        return made
