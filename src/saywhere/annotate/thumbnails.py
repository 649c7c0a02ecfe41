"""Thumbnails for the list of images, made once and kept in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict

from saywhere.annotate.image_folder import FileStamp, ImageFolder

MAX_BYTES = 64 << 20


class ThumbnailCache:
    """The thumbnails used last, within ``max_bytes`` in all. Any thread may use it."""

    def __init__(self, folder: ImageFolder, max_bytes: int = MAX_BYTES) -> None:
        self._folder, self._max_bytes = folder, max_bytes
        self._files: OrderedDict[tuple[str, FileStamp], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, path: str) -> bytes:
        """An image's thumbnail as a JPEG file; errors as in
        :meth:`saywhere.annotate.image_folder.ImageFolder.make_thumbnail`."""
        key = path, self._folder.stamp(path)
        with self._lock:
            if key in self._files:
                self._files.move_to_end(key)
                return self._files[key]
        content = self._folder.make_thumbnail(path)
        with self._lock:
            if key not in self._files:
                self._files[key] = content
                self._bytes += len(content)
                while self._bytes > self._max_bytes:
                    self._bytes -= len(self._files.popitem(last=False)[1])
        return content
