"""Masks as small rectangles, so that a large image is never gone over as a whole for a small object."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels of the image


@dataclass(frozen=True)
class Region:
    """Pixels of an object in a rectangle of an image; every pixel outside the rectangle is background.

    Args:
        left: column of the rectangle's first pixel in the image.
        top: row of the rectangle's first pixel in the image.
        mask: ``(h, w)`` bool, true on the object.
    """

    left: int
    top: int
    mask: BoolArray

    @property
    def area(self) -> int:
        """Number of pixels on the object."""
        return int(np.count_nonzero(self.mask))

    @property
    def right(self) -> int:
        """One past the rectangle's last column."""
        return self.left + self.mask.shape[1]

    @property
    def bottom(self) -> int:
        """One past the rectangle's last row."""
        return self.top + self.mask.shape[0]

    def to_image(self, size: ImageSize) -> BoolArray:
        """The mask of the whole image, ``(height, width)``."""
        full = np.zeros(size, np.bool_)
        full[self.top : self.bottom, self.left : self.right] = self.mask
        return full

    def encode(self, size: ImageSize) -> bytes:
        """COCO's compressed run lengths of the mask of the whole image."""
        return RunLengths.from_part(self.mask, self.left, self.top, size).counts

    @classmethod
    def decode(cls, counts: bytes, size: ImageSize) -> Region:
        """The smallest region that holds every pixel of some run lengths; the inverse of :meth:`encode`."""
        encoded = RunLengths(size.height, size.width, counts)
        return cls(*encoded.cropped()) if encoded.area else EMPTY_REGION

    def expanded(self, box: Box) -> Region:
        """The same pixels in a rectangle that also contains a box."""
        if self.mask.size == 0:
            left, top, right, bottom = box
            return Region(left, top, np.zeros((bottom - top, right - left), np.bool_))
        left, top = min(self.left, box[0]), min(self.top, box[1])
        right, bottom = max(self.right, box[2]), max(self.bottom, box[3])
        mask = np.zeros((bottom - top, right - left), np.bool_)
        mask[self.top - top : self.bottom - top, self.left - left : self.right - left] = self.mask
        return Region(left, top, mask)

    def united(self, other: Region) -> Region:
        """The pixels of both."""
        if other.mask.size == 0:
            return self
        larger = self.expanded((other.left, other.top, other.right, other.bottom))
        mask = larger.mask if larger.mask is not self.mask else larger.mask.copy()
        top, left = other.top - larger.top, other.left - larger.left
        mask[top : top + other.mask.shape[0], left : left + other.mask.shape[1]] |= other.mask
        return Region(larger.left, larger.top, mask)

    def without(self, other: Region) -> Region:
        """The pixels that are not another one's."""
        left, top = max(other.left, self.left), max(other.top, self.top)
        right, bottom = min(other.right, self.right), min(other.bottom, self.bottom)
        if right <= left or bottom <= top:
            return self
        mask = self.mask.copy()
        part = other.mask[top - other.top : bottom - other.top, left - other.left : right - other.left]
        mask[top - self.top : bottom - self.top, left - self.left : right - self.left][part] = False
        return Region(self.left, self.top, mask)

    def resized(self, size: ImageSize, target: ImageSize) -> BoolArray:
        """The mask of an image of ``size``, at another size; a target pixel is true where any of its pixels is.

        Args:
            size: size of the image that the region is in.
            target: size of the result.
        """
        result = np.zeros(target, np.bool_)
        if self.mask.size == 0:
            return result
        scale_y, scale_x = target.height / size.height, target.width / size.width
        top, left = int(self.top * scale_y), int(self.left * scale_x)
        bottom = min(max(int(np.ceil(self.bottom * scale_y)), top + 1), target.height)
        right = min(max(int(np.ceil(self.right * scale_x)), left + 1), target.width)
        part = cv2.resize(self.mask.astype(np.uint8), (right - left, bottom - top), interpolation=cv2.INTER_AREA)
        result[top:bottom, left:right] = part > 0
        return result


EMPTY_REGION = Region(0, 0, np.zeros((0, 0), np.bool_))
