"""The project's images: listed in the database, loaded from the folder, cached in memory."""

from __future__ import annotations

from saywhere.annotate.db.store import Store
from saywhere.annotate.db.tables import ImageRow
from saywhere.annotate.image_folder import ImageFolder, LoadedImage
from saywhere.annotate.inference.segmenters import SegmenterCache
from saywhere.errors import SaywhereError


class ImageLoader:
    """Loads images that the database lists, and records what their files are."""

    def __init__(self, store: Store, folder: ImageFolder, segmenters: SegmenterCache) -> None:
        self._store, self._folder, self._segmenters = store, folder, segmenters

    def load(self, row: ImageRow) -> LoadedImage:
        """An image's pixels; its size and hash, or its fault, are stored in ``row`` and the database.

        Raises SaywhereError when it cannot be read, or its size is not that of its annotations.
        """
        try:
            stamp = self._folder.stamp(row.path)
            image = self._segmenters.load(
                row.path, stamp, lambda: self._folder.load(row.path, self._segmenters.make_room)
            )
        except SaywhereError as error:
            if row.fault != str(error):
                self._store.record_file(row.id, None, None, str(error))
            raise
        size = image.size
        if row.seq > 0 and row.width is not None and (row.height, row.width) != size:
            raise SaywhereError(
                f"image '{row.path}': was {row.width}x{row.height} when it was annotated and is now "
                f"{size.width}x{size.height}; put the file back, or annotate this one under another name"
            )
        if row.sha256 is None or row.fault is not None or (row.seq == 0 and row.sha256 != image.sha256):
            self._store.record_file(row.id, size, image.sha256, None)
            row.height, row.width, row.sha256, row.fault = *size, image.sha256, None
        return image
