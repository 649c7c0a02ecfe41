"""Masks as COCO's run lengths: small enough to hold many of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from saywhere.errors import SaywhereError


@dataclass(frozen=True, slots=True)
class RunLengths:
    """A mask of ``height`` x ``width`` pixels; ``counts`` are COCO's compressed run lengths, column by column."""

    height: int
    width: int
    counts: bytes

    @classmethod
    def of(cls, mask: NDArray[np.bool_]) -> RunLengths:
        """Run lengths of a ``(H, W)`` mask."""
        packed = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
        return cls(mask.shape[0], mask.shape[1], packed["counts"])

    @classmethod
    def checked(cls, height: int, width: int, counts: bytes) -> RunLengths:
        """Run lengths that someone else wrote; SaywhereError when they are damaged or of another size.

        pycocotools would fill the rest of a mask whose runs end early with whatever lies in memory.
        """
        covered = _covered(counts)
        if covered != height * width:
            said = "are damaged" if covered is None else f"cover {covered:,} pixels"
            raise SaywhereError(f"run lengths {said}; expected {height * width:,} pixels, {width}x{height}")
        return cls(height, width, counts)

    def array(self) -> NDArray[np.bool_]:
        """The mask, ``(height, width)``."""
        return np.asarray(coco_mask.decode(self.packed()), np.bool_)

    def packed(self) -> dict[str, Any]:
        """As pycocotools takes it."""
        return {"size": [self.height, self.width], "counts": self.counts}

    def as_coco(self) -> dict[str, Any]:
        """Area, box and run lengths, as an annotation in COCO JSON has them."""
        return {
            "area": self.area,
            "bbox": [float(v) for v in self.box],
            "segmentation": {"size": [self.height, self.width], "counts": self.counts.decode("ascii")},
        }

    @property
    def area(self) -> int:
        return int(coco_mask.area(self.packed()))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """x, y, width, height of the smallest box around the mask; zeros when it is empty."""
        x, y, w, h = (int(v) for v in coco_mask.toBbox(self.packed()))
        return x, y, w, h


def _covered(counts: bytes) -> int | None:
    """How many pixels compressed run lengths cover; None when they are damaged (maskApi.c, rleFrString)."""
    runs: list[int] = []
    value, shift = 0, 0
    for byte in counts:
        digit = byte - 48
        if not 0 <= digit < 64:
            return None
        value |= (digit & 0x1F) << shift
        shift += 5
        if digit & 0x20:
            continue
        if digit & 0x10:
            value -= 1 << shift
        # From the fourth run on, what is stored is the difference to the run before the last.
        run = value + (runs[-2] if len(runs) > 2 else 0)
        if run < 0:
            return None
        runs.append(run)
        value, shift = 0, 0
    return None if shift else sum(runs)
