"""Crops: rectangles of an image at some scale, which is what a network encodes."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.geometry import Box, ImageSize, bounding_box
from saywhere.core.prompt import Click, Prompt

MIN_SIDE = 32  # pixels of the image; a smaller crop shows nothing more


@dataclass(frozen=True, slots=True)
class Crop:
    """Pixels ``[left, right) x [top, bottom)`` of an image, resized to ``width x height``."""

    left: int
    top: int
    right: int
    bottom: int
    width: int
    height: int

    @classmethod
    def from_box(cls, box: Box, image_size: ImageSize, longer_side: int) -> Crop:
        """The crop of a box, cut off at the image's border.

        Args:
            box: may reach beyond the image.
            image_size: of the image.
            longer_side: of the resized crop, in pixels.
        """
        h, w = image_size
        left, top = max(int(np.floor(box[0])), 0), max(int(np.floor(box[1])), 0)
        right, bottom = min(int(np.ceil(box[2])), w), min(int(np.ceil(box[3])), h)
        left, right = _at_least(left, right, min(MIN_SIDE, w), w)
        top, bottom = _at_least(top, bottom, min(MIN_SIDE, h), h)
        return cls(left, top, right, bottom, right - left, bottom - top).resized(longer_side)

    @classmethod
    def whole(cls, image: ImageArray) -> Crop:
        """All of an image at its own size."""
        height, width = image.shape[:2]
        return cls(0, 0, width, height, width, height)

    @property
    def longer_side(self) -> int:
        """In pixels of the image."""
        return max(self.right - self.left, self.bottom - self.top)

    @property
    def _scales(self) -> tuple[float, float]:
        return self.width / (self.right - self.left), self.height / (self.bottom - self.top)

    def resized(self, longer_side: int) -> Crop:
        """The crop of the same pixels at another scale.

        Args:
            longer_side: of the resized crop, in pixels.
        """
        scale = longer_side / self.longer_side
        sides = self.right - self.left, self.bottom - self.top
        width, height = (max(round(side * scale), 1) for side in sides)
        return replace(self, width=width, height=height)

    def contains(self, other: Crop) -> bool:
        """Whether the other crop lies inside this one."""
        return (
            self.left <= other.left
            and self.top <= other.top
            and self.right >= other.right
            and self.bottom >= other.bottom
        )

    def is_truncated(self, box: Box, image_size: ImageSize) -> bool:
        """Whether a box ends at a side of the crop that is not a side of the image."""
        height, width = image_size
        edge = 2.0 * (self.right - self.left) / self.width
        return (
            (self.left > 0 and box[0] < self.left + edge)
            or (self.top > 0 and box[1] < self.top + edge)
            or (self.right < width and box[2] > self.right - edge)
            or (self.bottom < height and box[3] > self.bottom - edge)
        )

    def mirrored(self, width: int) -> Crop:
        """The same part of the mirrored image, which is ``width`` pixels wide."""
        return replace(self, left=width - self.right, right=width - self.left)

    def crop(self, image: ImageArray) -> ImageArray:
        """The crop's pixels, ``(height, width, 3)``."""
        part = image[self.top : self.bottom, self.left : self.right]
        shrinks = self.width < part.shape[1] or self.height < part.shape[0]
        how = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(part, (self.width, self.height), interpolation=how), np.uint8)

    def to_crop(self, prompt: Prompt) -> Prompt:
        """A prompt of the image in pixels of the crop."""
        return prompt.moved(self._scales[0], self.left, self.top)

    def click_to_image(self, click: Click) -> Click:
        """A click of this crop in pixels of the image, kept inside the crop's part of it."""
        sx, sy = self._scales
        x, y = self.left + (click.x + 0.5) / sx - 0.5, self.top + (click.y + 0.5) / sy - 0.5
        return replace(click, x=min(max(x, self.left), self.right - 1.0), y=min(max(y, self.top), self.bottom - 1.0))

    def resample(self, values: FloatArray, into: Crop, outside: float) -> FloatArray:
        """A map of this crop in another crop.

        Args:
            values: ``(height, width)``.
            into: the other crop.
            outside: the value where this crop does not reach.
        """
        if into == self:
            return values
        (sx, sy), (tx, ty) = self._scales, into._scales
        # From a pixel centre of `into` to the image and back to this crop.
        ax, ay = sx / tx, sy / ty
        bx = (0.5 / tx + into.left - self.left) * sx - 0.5
        by = (0.5 / ty + into.top - self.top) * sy - 0.5
        inverse = np.array([[ax, 0.0, bx], [0.0, ay, by]])
        warped = cv2.warpAffine(
            values, inverse, (into.width, into.height), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_CONSTANT, borderValue=outside,
        )  # fmt: skip
        return np.asarray(warped, np.float32)

    def to_image(self, values: FloatArray, image_size: ImageSize, outside: float) -> FloatArray:
        """A map of this crop at the size of the image.

        Args:
            values: ``(height, width)``.
            image_size: of the image.
            outside: the value where this crop does not reach.
        """
        size = self.right - self.left, self.bottom - self.top
        part = cv2.resize(values, size, interpolation=cv2.INTER_LINEAR)
        if size == (image_size[1], image_size[0]):
            return np.asarray(part, np.float32)
        full = np.full(image_size, outside, np.float32)
        full[self.top : self.bottom, self.left : self.right] = part
        return full

    def bounding_box(self, region: NDArray[np.bool_]) -> Box | None:
        """The box in the image around the true pixels of a mask of this crop; None when there are none."""
        box = bounding_box(region)
        if box is None:
            return None
        sx, sy = self._scales
        left, top, right, bottom = box
        return self.left + left / sx, self.top + top / sy, self.left + right / sx, self.top + bottom / sy


def _at_least(low: int, high: int, least: int, extent: int) -> tuple[int, int]:
    if high - low >= least:
        return low, high
    low = min(max((low + high - least) // 2, 0), extent - least)
    return low, low + least
