"""Augmentation of training crops: where a crop is cut and how it is transformed, copy-paste, colours."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import BoolArray
from saywhere.core.geometry import ImageSize
from saywhere.training.recipe_parts import AugmentRecipe, CropRecipe

Image = NDArray[np.uint8]
Affine = NDArray[np.float64]
Box = tuple[float, float, float, float]  # x, y, width, height


DEFAULTS = AugmentRecipe()


def crop_transform(
    box: Box,
    image_size: ImageSize,
    size: int,
    full_image: bool,
    zoom: tuple[float, float],
    rng: np.random.Generator,
    augment: AugmentRecipe = DEFAULTS,
) -> Affine:
    """A random crop that shows an object. Aspect, angle and mirroring are random too.

    Args:
        box: the object's, in pixels of the image.
        image_size: the image's.
        size: the side of the crop, in pixels.
        full_image: whether the crop spans about the whole image.
        zoom: otherwise, the range of the crop's side over the object's longer side.
        rng: decides.
        augment: the range of aspects and angles, and how often a crop is mirrored.

    Returns:
        ``(2, 3)``, from pixels of the image to pixels of the crop.
    """
    x, y, w, h = box
    height, width = image_size
    longer = max(w, h)
    if full_image:
        side = rng.uniform(max(min(height, width), longer), 1.1 * max(height, width))
    else:
        side = longer * np.exp(rng.uniform(*np.log(zoom)))
    side = max(side, size / 4.0)
    # Anywhere that keeps the object inside, but no further off the image than needed.
    left = _offset(x - max(side - w, 0.0), x, side, width, rng)
    top = _offset(y - max(side - h, 0.0), y, side, height, rng)
    return _around((left + side / 2.0, top + side / 2.0), (size / side, size / side), size, rng, augment)


def stretch_transform(image_size: ImageSize, size: int, rng: np.random.Generator, augment: AugmentRecipe) -> Affine:
    """The whole image, resized to a square; arguments and result as for :func:`crop_transform`."""
    height, width = image_size
    return _around((width / 2.0, height / 2.0), (size / width, size / height), size, rng, augment)


def scale_transform(
    image_size: ImageSize, size: int, settings: CropRecipe, rng: np.random.Generator, augment: AugmentRecipe
) -> Affine:
    """A square anywhere in the resized image, or around its middle along a side that is shorter than the square.

    Args:
        image_size: the image's.
        size: the side of the square, in pixels.
        settings: ``scale`` and ``scale_base``.
        rng: decides.
        augment: as for :func:`crop_transform`.

    Returns:
        As :func:`crop_transform`.
    """
    height, width = image_size
    scale = rng.uniform(*settings.scale) * (size / min(height, width) if settings.scale_base == "size" else 1.0)
    side = size / scale
    left, top = (
        rng.uniform(0.0, extent - side) if side < extent else (extent - side) / 2.0 for extent in (width, height)
    )
    return _around((left + side / 2.0, top + side / 2.0), (scale, scale), size, rng, augment)


def _around(
    centre: tuple[float, float],
    scale: tuple[float, float],
    size: int,
    rng: np.random.Generator,
    augment: AugmentRecipe,
) -> Affine:
    """A crop around a point of the image, at a scale along each axis, with random aspect, angle and mirroring."""
    degrees = augment.rotation_degrees
    angle = np.radians(rng.uniform(-degrees, degrees)) if rng.random() < augment.rotation_prob else 0.0
    aspect = np.exp(rng.uniform(-augment.aspect_jitter, augment.aspect_jitter))
    mirror = -1.0 if rng.random() < augment.flip_prob else 1.0
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = np.diag([mirror * scale[0] * aspect, scale[1] / aspect]) @ rotation
    offset = np.array([size / 2.0, size / 2.0]) - linear @ np.array(centre)
    return np.hstack([linear, offset[:, None]])


def _offset(low: float, high: float, side: float, extent: int, rng: np.random.Generator) -> float:
    """Where a crop begins along one axis of an image of ``extent`` pixels."""
    if side >= extent:
        return rng.uniform(extent - side, 0.0) * 0.5 + (extent - side) * 0.25
    low, high = max(low, 0.0), min(high, extent - side)
    return rng.uniform(low, high) if low < high else min(max((low + high) / 2.0, 0.0), extent - side)


def is_mirrored(transform: Affine) -> bool:
    """Whether a transform swaps left and right."""
    return bool(np.linalg.det(transform[:, :2]) < 0)


def warp(
    image: Image, transform: Affine, size: int, nearest: bool = False, border: int = cv2.BORDER_REFLECT_101
) -> Image:
    """The crop of an image or a mask; shrinks by area first, so that fine texture does not alias."""
    flags = cv2.INTER_NEAREST if nearest else cv2.INTER_LINEAR
    (a, b), (c, d) = transform[:, :2]
    scale = float(np.sqrt(abs(a * d - b * c)))
    if scale < 0.6 and not nearest:
        shrunk = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        ratio = np.array([image.shape[1] / shrunk.shape[1], image.shape[0] / shrunk.shape[0]])
        transform = np.hstack([transform[:, :2] * ratio, transform[:, 2:]])
        image = np.asarray(shrunk, np.uint8)
    return np.asarray(cv2.warpAffine(image, transform, (size, size), flags=flags, borderMode=border), np.uint8)


def warp_box(mask: Image, box: Box, transform: Affine, size: int) -> Image:
    """The crop of a mask that is empty outside its box, warped only where that is visible.

    Args:
        mask: ``(h, w)``, the pixels of the box.
        box: x, y, w, h in pixels of the image.
        transform: from pixels of the image to pixels of the crop.
        size: the side of the crop, in pixels.
    """
    x, y, w, h = box
    corners = np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]]) @ transform[:, :2].T + transform[:, 2]
    # A pixel more on each side, for rounding.
    left, top = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, size)
    right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, size)
    crop = np.zeros((size, size), np.uint8)
    if left < right and top < bottom:
        offset = transform[:, :2] @ np.array([x, y]) + transform[:, 2] - np.array([left, top])
        moved = np.hstack([transform[:, :2], offset[:, None]])
        visible = int(right - left), int(bottom - top)
        crop[top:bottom, left:right] = cv2.warpAffine(mask, moved, visible, flags=cv2.INTER_NEAREST)
    return crop


def paste(front: Image, mask: BoolArray, back: Image, rng: np.random.Generator) -> Image:
    """Copy the masked pixels of one crop onto another, with an edge about as soft as photographs have."""
    alpha = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), rng.uniform(0.5, 1.2))[..., None]
    return np.asarray(np.round(alpha * front + (1.0 - alpha) * back), np.uint8)


def recolour(image: Image, rng: np.random.Generator, augment: AugmentRecipe = DEFAULTS) -> Image:
    """Random brightness, contrast, gamma, hue, saturation, grey, blur, noise and JPEG compression."""
    if rng.random() < augment.brightness_prob:
        image = _change_brightness(image, rng)
    if rng.random() < augment.hue_prob:
        image = _change_hue(image, rng)
    if rng.random() < augment.grey_prob:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < augment.blur_prob:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5)), np.uint8)
    if rng.random() < augment.noise_prob:
        noise = rng.uniform(2.0, 10.0) * rng.standard_normal(image.shape, np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < augment.jpeg_prob:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return image


def _change_brightness(image: Image, rng: np.random.Generator) -> Image:
    gain, bias, gamma = rng.uniform(0.7, 1.3), rng.uniform(-30.0, 30.0), np.exp(rng.uniform(-0.35, 0.35))
    levels = np.clip(np.arange(256) * gain + bias, 0, 255)
    table = (255.0 * (levels / 255.0) ** gamma).astype(np.uint8)
    return np.asarray(cv2.LUT(image, table), np.uint8)


def _change_hue(image: Image, rng: np.random.Generator) -> Image:
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    levels = np.arange(256)
    hue = (levels + rng.integers(-12, 13)) % 180
    saturation = np.clip(levels * rng.uniform(0.5, 1.5), 0, 255)
    hsv = cv2.LUT(hsv, np.stack([hue, saturation, levels], -1).astype(np.uint8)[None])
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
