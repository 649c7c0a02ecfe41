"""Run-length encoding (RLE) of masks, as COCO defines it. The only module that encodes or decodes run lengths.

COCO numbers pixels column by column. A mask is stored as the lengths of its runs, which alternate between background
and object and begin with background. The compressed form packs these lengths into printable bytes (``rleToString`` in
cocoapi's ``maskApi.c``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as pycocotools_mask

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.errors import SaywhereError

MAX_COORDINATE = 1e5
"""The largest coordinate of a polygon, in pixels."""
MAX_OUTLINE = 2_000_000
"""The longest outline of an object's polygons, in pixels. pycocotools holds about 120 bytes for each of them."""
_CHUNK = 4_000_000  # pixels
_MAX_DIGITS = 6  # of one run: 5 bits each, which is enough for the largest image that is read


@dataclass(frozen=True, slots=True)
class RunLengths:
    """A mask in COCO's compressed run lengths.

    The constructor trusts its arguments. Use :meth:`from_counts` for run lengths that another program wrote: where runs
    end early, pycocotools fills the rest of the mask with whatever lies in memory.

    Args:
        height: height of the mask, in pixels.
        width: width of the mask, in pixels.
        counts: compressed run lengths of exactly ``height * width`` pixels.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((3, 4), bool)
        >>> mask[1:, 2] = True
        >>> region = RunLengths.from_mask(mask)
        >>> region.area, region.box
        (2, (2, 1, 1, 2))
        >>> bool((region.mask() == mask).all())
        True
    """

    height: int
    width: int
    counts: bytes

    @classmethod
    def from_mask(cls, mask: NDArray[np.bool_]) -> RunLengths:
        """Encode a ``(H, W)`` mask."""
        encoded = pycocotools_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        return cls(mask.shape[0], mask.shape[1], encoded["counts"])

    @classmethod
    def from_counts(cls, counts: bytes | str, size: ImageSize) -> RunLengths:
        """Compressed run lengths that another program wrote.

        Args:
            counts: compressed run lengths.
            size: the size that the mask must have.

        Raises:
            SaywhereError: the run lengths are damaged, or cover another number of pixels.
        """
        height, width = size
        encoded = counts.encode(errors="surrogatepass") if isinstance(counts, str) else counts
        lengths = _decompress(encoded)
        if lengths is None:
            raise SaywhereError(f"run lengths are damaged; expected {height * width:,} pixels, {width}x{height}")
        _check_sum(int(lengths.sum()), size)
        # pycocotools finds a wrong box for empty runs.
        return cls(height, width, encoded) if lengths[1:].all() else cls._from_runs(*_runs(lengths), size)

    @classmethod
    def from_lengths(cls, lengths: Sequence[int], size: ImageSize) -> RunLengths:
        """Run lengths as numbers, which begin with background.

        Args:
            lengths: whole numbers of pixels, none negative.
            size: the size that the mask must have.

        Raises:
            SaywhereError: these are not run lengths, or they cover another number of pixels.
        """
        if not all(isinstance(length, int) and length >= 0 for length in lengths):
            raise SaywhereError("run lengths: give whole numbers of pixels, none negative")
        _check_sum(sum(lengths), size)
        return cls._from_runs(*_runs(np.array(lengths, np.int64)), size)

    @classmethod
    def from_polygons(cls, polygons: Sequence[Sequence[float]], size: ImageSize) -> RunLengths:
        """Draw polygons, as pycocotools does: the union of their insides.

        Args:
            polygons: ``[x0, y0, x1, y1, ...]`` of three vertices or more each, in pixels. None gives an empty mask.
            size: the size of the mask.

        Raises:
            SaywhereError: a polygon is not one, leaves the image by more than :data:`MAX_COORDINATE`, or the outline is
                longer than :data:`MAX_OUTLINE`.
        """
        if not len(polygons):
            return cls.from_mask(np.zeros(size, np.bool_))
        outline = 0.0
        checked = []
        for polygon in polygons:
            vertices = _vertices(polygon)
            outline += float(np.abs(vertices - np.roll(vertices, 1, axis=0)).max(axis=1).sum()) + len(vertices)
            if outline > MAX_OUTLINE:
                raise SaywhereError(f"polygons: their outline is longer than {MAX_OUTLINE:,} pixels; simplify them")
            checked.append(vertices.ravel().tolist())
        encoded = pycocotools_mask.merge(pycocotools_mask.frPyObjects(checked, *size))
        return cls(*size, encoded["counts"])

    @classmethod
    def from_part(cls, part: NDArray[np.bool_], left: int, top: int, size: ImageSize) -> RunLengths:
        """Encode a mask of which a part is given, off which there is no object. Memory is that of the part.

        Args:
            part: ``(h, w)`` mask.
            left, top: where its first pixel lies, in pixels.
            size: the size of the whole mask, within which the part must lie.

        Example:
            >>> import numpy as np
            >>> RunLengths.from_part(np.ones((2, 3), bool), 5, 4, ImageSize(9, 9)).box
            (5, 4, 3, 2)
        """
        # The smallest box first: most of a large part is often background.
        x0, y0, width, height = cv2.boundingRect(np.ascontiguousarray(part).view(np.uint8))
        edges = [np.zeros(0, np.int64)]
        # A few columns at a time: of 100 megapixels, each step would take its 100 MB.
        step = max(1, _CHUNK // max(1, height))
        for first in range(x0, x0 + width, step):
            chunk = part[y0 : y0 + height, first : min(first + step, x0 + width)].view(np.uint8)
            # With a pixel of background after each column, at which every run ends.
            columns = np.zeros((chunk.shape[1], height + 1), np.uint8)
            columns[:, :height] = cv2.transpose(chunk)
            flat = columns.ravel()
            changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
            if flat[0]:
                changes = np.concatenate([[0], changes])
            column, row = np.divmod(changes, height + 1)
            edges.append((column + (left + first)) * size.height + (row + top + y0))
        flat_edges = np.concatenate(edges)
        return cls._from_runs(flat_edges[0::2], flat_edges[1::2], size)

    @classmethod
    def union(cls, regions: Sequence[RunLengths]) -> RunLengths:
        """The pixels of any of one or more regions of one size."""
        if len(regions) == 1:
            return regions[0]
        encoded = pycocotools_mask.merge([region._encoded() for region in regions])
        return cls(*regions[0].size, encoded["counts"])

    @classmethod
    def from_coco(cls, segmentation: Any, size: ImageSize) -> RunLengths:
        """A ``segmentation`` from COCO JSON, in any of its three forms.

        Args:
            segmentation: a list of polygons, or ``{"size": [height, width], "counts": ...}`` with run lengths as a list
                of numbers or compressed as text.
            size: the size of its image.

        Raises:
            SaywhereError: it is of no such form, damaged, too large to draw, or of another size.
        """
        if isinstance(segmentation, list):
            return cls.from_polygons(segmentation, size)
        if not isinstance(segmentation, dict) or not isinstance(segmentation.get("counts"), (list, str, bytes)):
            raise SaywhereError("segmentation: neither polygons nor run lengths; see the COCO format")
        given = segmentation.get("size")
        if not isinstance(given, list) or given != list(size):
            raise SaywhereError(f"segmentation of size {given}; expected {list(size)}, as its image")
        counts = segmentation["counts"]
        return cls.from_lengths(counts, size) if isinstance(counts, list) else cls.from_counts(counts, size)

    @classmethod
    def _from_runs(cls, starts: NDArray[np.int64], ends: NDArray[np.int64], size: ImageSize) -> RunLengths:
        """From where the object's runs begin and end, in order; runs that touch are joined."""
        apart = np.flatnonzero(starts[1:] != ends[:-1])
        edges = np.concatenate([starts[:1], np.stack([ends[apart], starts[apart + 1]], axis=1).ravel(), ends[-1:]])
        lengths = np.diff(np.concatenate([[0], edges, [size.height * size.width]]))
        # A mask that ends with the object has no run of background after it.
        lengths = lengths if lengths[-1] or not len(edges) else lengths[:-1]
        encoded = pycocotools_mask.frPyObjects({"counts": lengths.tolist(), "size": list(size)}, *size)
        return cls(*size, encoded["counts"])

    @property
    def size(self) -> ImageSize:
        """Height and width."""
        return ImageSize(self.height, self.width)

    @property
    def text(self) -> str:
        """The compressed run lengths as text, for JSON."""
        return self.counts.decode("ascii")

    def mask(self) -> BoolArray:
        """The ``(H, W)`` mask."""
        return np.asarray(pycocotools_mask.decode(self._encoded()), np.bool_)

    def cropped(self) -> tuple[int, int, BoolArray]:
        """Left, top and the ``(h, w)`` mask within the smallest box around the object.

        Memory is that of the box, not of the image.
        """
        x, y, w, h = self.box
        lengths = _decompress(self.counts)
        assert lengths is not None, "checked when it was made"
        starts, ends = _runs(lengths)
        # Only in a box of the image's height do runs go on in the next column, where the numbers are the same.
        changes = np.zeros(w * h + 1, np.int8)
        changes[(starts // self.height - x) * h + starts % self.height - y] = 1
        last = ends - 1
        changes[(last // self.height - x) * h + last % self.height - y + 1] -= 1
        columns = np.cumsum(changes[:-1], dtype=np.int8).reshape(w, h)
        return x, y, columns.T.view(np.bool_)

    def as_annotation(self) -> dict[str, Any]:
        """``area``, ``bbox`` and ``segmentation`` of an annotation in COCO JSON."""
        return {
            "area": self.area,
            "bbox": [float(v) for v in self.box],
            "segmentation": {"size": [self.height, self.width], "counts": self.text},
        }

    @property
    def area(self) -> int:
        """The object's pixels."""
        return int(pycocotools_mask.area(self._encoded()))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height of the smallest box around the object; zeros when it is empty."""
        x, y, w, h = (int(v) for v in pycocotools_mask.toBbox(self._encoded()))
        return x, y, w, h

    def _encoded(self) -> dict[str, Any]:
        """As pycocotools takes it."""
        return {"size": [self.height, self.width], "counts": self.counts}


def containment(regions: Sequence[RunLengths]) -> NDArray[np.float64]:
    """The share of each object that lies inside each other one, without decoding them.

    Args:
        regions: N objects of one image.

    Returns:
        ``(N, N)``: in row i and column j, the pixels that i and j share over the pixels of i.
    """
    encoded = [region._encoded() for region in regions]
    # Of crowd regions (1) pycocotools divides the intersection by the first's area, not by the union.
    return np.asarray(pycocotools_mask.iou(encoded, encoded, [1] * len(encoded)), np.float64).reshape(
        len(encoded), len(encoded)
    )


def _vertices(polygon: Any) -> NDArray[np.float64]:
    """A polygon as ``(N, 2)``; SaywhereError when it is none."""
    try:
        values = np.asarray(polygon, np.float64)
    except (TypeError, ValueError, OverflowError):
        values = np.zeros(0)
    # NaN is not below the limit either.
    if values.ndim != 1 or len(values) < 6 or len(values) % 2 or not (np.abs(values) <= MAX_COORDINATE).all():
        raise SaywhereError(
            "segmentation: a polygon is x, y of three points or more, in pixels from "
            f"-{MAX_COORDINATE:,.0f} to {MAX_COORDINATE:,.0f}"
        )
    return values.reshape(-1, 2)


def _runs(lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where the object's runs begin and end, less those without a pixel."""
    edges = np.cumsum(lengths)[: len(lengths) // 2 * 2]
    starts, ends = edges[0::2], edges[1::2]
    is_filled = ends > starts
    return starts[is_filled], ends[is_filled]


def _check_sum(covered: int, size: ImageSize) -> None:
    pixels = size.height * size.width
    if covered != pixels:
        raise SaywhereError(
            f"run lengths cover {covered:,} pixels; expected {pixels:,} pixels, {size.width}x{size.height}"
        )


def _decompress(counts: bytes) -> NDArray[np.int64] | None:
    """Compressed run lengths as numbers; None when they are damaged (``rleFrString`` in ``maskApi.c``)."""
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if not len(digits):
        return digits
    ends = np.flatnonzero((digits & 0x20) == 0)
    if digits.min() < 0 or digits.max() > 63 or not len(ends) or ends[-1] != len(digits) - 1:
        return None
    starts = np.concatenate([[0], ends[:-1] + 1])
    used = ends - starts + 1
    if used.max() > _MAX_DIGITS:
        return None
    place = np.arange(len(digits)) - np.repeat(starts, used)
    values = np.add.reduceat((digits & 0x1F) << (5 * place), starts)
    values -= np.where(digits[ends] & 0x10, 1 << (5 * used), 0)
    # From the fourth run on, what is stored is the difference to the run before the last.
    lengths = values.copy()
    lengths[1::2], lengths[2::2] = np.cumsum(values[1::2]), np.cumsum(values[2::2])
    return None if lengths.min() < 0 else lengths
