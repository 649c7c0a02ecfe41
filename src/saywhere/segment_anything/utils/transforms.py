"""Images, coordinates and boxes in the frame that SAM's network sees: the longer side has a fixed length."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from saywhere.core.arrays import ImageArray
from saywhere.core.geometry import ImageSize

if TYPE_CHECKING:
    import torch

Numbers = TypeVar("Numbers", bound=Any)


class ResizeLongestSide:
    """Resizes images to a longer side, and scales coordinates and boxes with them.

    Args:
        target_length: of the longer side, in pixels.

    Example:
        >>> resize = ResizeLongestSide(1024)
        >>> resize.apply_coords([[320, 240]], (480, 640)).tolist()
        [[512.0, 384.0]]
        >>> resize.get_preprocess_shape(480, 640, 1024)
        (768, 1024)
    """

    def __init__(self, target_length: int) -> None:
        self.target_length = target_length

    def apply_image(self, image: ImageArray) -> ImageArray:
        """Resize an image ``(H, W, 3)`` uint8."""
        height, width = self.get_preprocess_shape(image.shape[0], image.shape[1], self.target_length)
        how = cv2.INTER_AREA if height < image.shape[0] else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(image, (width, height), interpolation=how), np.uint8)

    def apply_coords(self, coords: ArrayLike, original_size: tuple[int, ...]) -> NDArray[np.float64]:
        """Scale points.

        Args:
            coords: ``(..., 2)`` x and y in pixels of the image.
            original_size: height and width of the image.
        """
        return self._scaled(np.array(coords, np.float64), original_size)

    def apply_boxes(self, boxes: ArrayLike, original_size: tuple[int, ...]) -> NDArray[np.float64]:
        """Scale boxes ``(..., 4)``: left, top, right and bottom in pixels of the image."""
        given = np.array(boxes, np.float64)
        return self.apply_coords(given.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def apply_image_torch(self, image: torch.Tensor) -> torch.Tensor:
        """Resize a batch of images ``(B, 3, H, W)``."""
        from torch.nn.functional import interpolate

        size = self.get_preprocess_shape(image.shape[2], image.shape[3], self.target_length)
        return interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)

    def apply_coords_torch(self, coords: torch.Tensor, original_size: tuple[int, ...]) -> torch.Tensor:
        """:meth:`apply_coords` of a tensor."""
        return self._scaled(coords.clone().float(), original_size)

    def apply_boxes_torch(self, boxes: torch.Tensor, original_size: tuple[int, ...]) -> torch.Tensor:
        """:meth:`apply_boxes` of a tensor."""
        return self.apply_coords_torch(boxes.reshape(-1, 2, 2), original_size).reshape(-1, 4)

    def _scaled(self, coords: Numbers, original_size: tuple[int, ...]) -> Numbers:
        old = ImageSize(*original_size[:2])
        height, width = self.get_preprocess_shape(old.height, old.width, self.target_length)
        coords[..., 0] *= width / old.width
        coords[..., 1] *= height / old.height
        return coords

    @staticmethod
    def get_preprocess_shape(oldh: int, oldw: int, long_side_length: int) -> tuple[int, int]:
        """Height and width of an image whose longer side is resized to a length."""
        scale = long_side_length / max(oldh, oldw)
        return int(oldh * scale + 0.5), int(oldw * scale + 0.5)
