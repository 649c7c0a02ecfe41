"""Pixels as a page shows them: crops, JPEG and PNG files."""

from __future__ import annotations

import cv2
import numpy as np

from saywhere.annotate.region import Box
from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize

JPEG_QUALITY = 90


def crop_image(pixels: ImageArray, box: Box, longest: int) -> ImageArray:
    """The part of an image in a box, reduced where its longer side exceeds ``longest``, never enlarged."""
    left, top, right, bottom = box
    if max(right - left, bottom - top) <= longest:
        return pixels[top:bottom, left:right]
    return Crop.from_box(box, ImageSize(*pixels.shape[:2]), longest).crop(pixels)


def encode_jpeg(pixels: ImageArray, quality: int = JPEG_QUALITY) -> bytes:
    """``(H, W, 3)`` RGB as a JPEG file."""
    bgr = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def encode_png(values: FloatArray) -> bytes:
    """``(H, W)`` in [0, 1] as an 8-bit grey PNG file."""
    return cv2.imencode(".png", np.round(np.clip(values, 0.0, 1.0) * 255.0).astype(np.uint8))[1].tobytes()
