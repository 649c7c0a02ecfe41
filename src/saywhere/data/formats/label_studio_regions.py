"""Regions of Label Studio's results: masks as brushes and polygons, and boxes, read and written.

Format: https://labelstud.io/guide/export#Label-Studio-JSON-format-of-annotated-tasks
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.core.polygons import join_pieces, polygons_along_pixel_edges
from saywhere.core.rle import RunLengths
from saywhere.data.checks import check_label, check_score
from saywhere.data.formats.annotated_image import BoxAnnotation, ObjectAnnotation
from saywhere.errors import SaywhereError

Result = dict[str, Any]
MAX_BRUSH_RUNS = 2_000_000
WORD_BITS = 8  # of a value
LENGTH_BITS = (6, 9, 12, 16)  # of the lengths of runs: each run takes the shortest of these that is enough


def read_region(result: Result, size: ImageSize) -> ObjectAnnotation | BoxAnnotation | None:
    """One region of a result: a brushed mask or a polygon is an object, a rectangle a box.

    Args:
        result: the region, as Label Studio has it in ``annotations[].result[]``.
        size: the image's.

    Returns:
        The object or box with its first label; None for a region of another kind.

    Raises:
        SaywhereError: the region is damaged, or its mask is of another size.
        KeyError, TypeError, ValueError: it lacks something, or has it in another type.
    """
    value, kind = result.get("value"), str(result.get("type"))
    if not isinstance(value, dict):
        return None
    given = value.get(kind)
    labels = given if isinstance(given, list) else []
    about = (check_label(labels[0]) if labels else None, check_score(result.get("score")), None)
    if kind in ("polygonlabels", "polygon"):
        return ObjectAnnotation(_polygon(value, size), *about)
    if kind in ("brushlabels", "brush") and value.get("format") == "rle":
        return ObjectAnnotation(_brush(value.get("rle"), size), *about)
    if kind in ("rectanglelabels", "rectangle") and not value.get("rotation"):
        return BoxAnnotation(_rectangle(value, size), *about)
    return None


def brush_rle(mask: BoolArray) -> list[int]:
    """A mask as the run lengths of a brush: an RGBA image, opaque on the object.

    Args:
        mask: ``(H, W)`` bool.

    Returns:
        Bytes, as numbers from 0 to 255.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((3, 4), bool)
        >>> mask[1:, 2] = True
        >>> result = {"type": "brushlabels", "value": {"format": "rle", "rle": brush_rle(mask), "brushlabels": ["cat"]}}
        >>> region = read_region(result, ImageSize(3, 4))
        >>> region.label, bool((region.region.mask() == mask).all())
        ('cat', True)
    """
    flat = mask.ravel()
    changes = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    starts = np.concatenate([[0], changes])
    lengths = np.diff(np.concatenate([starts, [flat.size]])) * 4
    bits = [f"{flat.size * 4:032b}{WORD_BITS - 1:05b}", *(f"{width - 1:04b}" for width in LENGTH_BITS)]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        bits.append(_run_bits(length, 255 if flat[start] else 0))
    digits = np.frombuffer("".join(bits).encode("ascii"), np.uint8) - ord("0")
    return np.packbits(digits).tolist()


def polygon_points(mask: BoolArray, tolerance: float = 0.0) -> list[list[float]]:
    """A mask as the points of one polygon, in percent of the image's width and height.

    Holes and further pieces are joined to it by cuts without width.

    Args:
        mask: ``(H, W)`` bool.
        tolerance: how far the simplified polygon may be from the outline, in pixels; 0 keeps every vertex.

    Returns:
        ``[[x, y], ...]``, at least three points; none for an empty mask.

    Example:
        >>> import numpy as np
        >>> polygon_points(np.ones((10, 20), bool))
        [[1.25, 2.5], [1.25, 97.5], [98.75, 97.5], [98.75, 2.5]]
    """
    pieces = polygons_along_pixel_edges(mask, tolerance)
    if not pieces:
        return []
    height, width = mask.shape
    points: list[list[float]] = (join_pieces(pieces) * (100.0 / width, 100.0 / height)).tolist()
    return points


def _run_bits(length: int, value: int) -> str:
    """A run of one value as text of bits; longer ones than a length can say as several."""
    bits = ""
    while length > 0:
        part = min(length, 1 << LENGTH_BITS[-1])
        choice = next(i for i, width in enumerate(LENGTH_BITS) if part <= 1 << width)
        bits += f"1{choice:02b}{part - 1:0{LENGTH_BITS[choice]}b}{value:0{WORD_BITS}b}"
        length -= part
    return bits


def _polygon(value: Result, size: ImageSize) -> RunLengths:
    """Points are in percent of the image."""
    points = np.array(value["points"], np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise SaywhereError("points: expected [[x, y], ...] in percent")
    return RunLengths.from_polygons([(points * (size.width / 100.0, size.height / 100.0)).ravel().tolist()], size)


def _rectangle(value: Result, size: ImageSize) -> tuple[float, float, float, float]:
    x, y, w, h = (float(value[key]) for key in ("x", "y", "width", "height"))
    if not all(abs(part) <= 1000.0 for part in (x, y, w, h)) or w <= 0 or h <= 0:
        raise SaywhereError("rectangle: expected x, y, width and height in percent")
    return (
        x * size.width / 100.0, y * size.height / 100.0, w * size.width / 100.0, h * size.height / 100.0
    )  # fmt: skip


def _brush(given: object, size: ImageSize) -> RunLengths:
    """The pixels of a brushed mask.

    Its run lengths are bits: how many values there are (four for a pixel, of which the last is its opacity), how many
    bits a value has, how many the lengths of runs have; and then runs of one value, and lists of values
    (``decode_rle`` in Label Studio's converter).
    """
    if not isinstance(given, list) or not all(isinstance(byte, int) and 0 <= byte <= 255 for byte in given):
        raise SaywhereError("rle: expected a list of bytes")
    bits = _Bits(np.unpackbits(np.array(given, np.uint8)))
    count, word = bits.take(32), bits.take(5) + 1
    if count != 4 * size.height * size.width:
        raise SaywhereError(f"rle of {count:,} values; expected {4 * size.height * size.width:,}, four for each pixel")
    widths = [bits.take(4) + 1 for _ in range(4)]
    mask = np.zeros(size.height * size.width, np.bool_)
    position = runs = 0
    while position < count:
        is_run = bits.take(1)
        length = 1 + bits.take(widths[bits.take(2)])
        end = min(position + length, count)
        runs += 1 if is_run else length
        if runs > MAX_BRUSH_RUNS:
            raise SaywhereError(f"rle of more than {MAX_BRUSH_RUNS:,} runs; simplify the mask")
        if is_run:
            # Opacity is the last of four values: those of a run at 3, 7, 11 ... are of the pixels that end in it.
            mask[position // 4 : end // 4] = bits.take(word) > 0
        else:
            for place in range(position, end):
                value = bits.take(word)
                if place % 4 == 3:
                    mask[place // 4] = value > 0
        position = end
    return RunLengths.from_mask(mask.reshape(size))


class _Bits:
    """Reads whole numbers from bits."""

    def __init__(self, bits: NDArray[np.uint8]) -> None:
        self._text = bits.tobytes().translate(bytes.maketrans(b"\x00\x01", b"01")).decode("ascii")
        self._position = 0

    def take(self, count: int) -> int:
        """The next number of this many bits. SaywhereError when there are no more."""
        part = self._text[self._position : self._position + count]
        if len(part) < count:
            raise SaywhereError("rle: ends early")
        self._position += count
        return int(part, 2)
