"""What a training crop looks like: where it is cut, how it is turned, how its colours change."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
Affine = NDArray[np.float64]


def crop_transform(
    box: tuple[float, float, float, float],
    photo: tuple[int, int],
    size: int,
    whole: bool,
    zoom: tuple[float, float],
    rng: np.random.Generator,
) -> Affine:
    """The 2x3 matrix from photograph pixels to a ``size`` x ``size`` crop that shows an object's box.

    ``box`` is x, y, width, height; ``photo`` is height, width. A ``whole`` crop spans about the photograph;
    else its side is ``zoom`` times the object's longer side. Aspect, angle and mirror are drawn too.
    """
    x, y, w, h = box
    height, width = photo
    longer = max(w, h)
    if whole:
        side = rng.uniform(max(min(height, width), longer), 1.1 * max(height, width))
    else:
        side = longer * np.exp(rng.uniform(*np.log(zoom)))
    side = max(side, size / 4.0)
    slack_x, slack_y = max(side - w, 0.0), max(side - h, 0.0)
    # Anywhere that keeps the object inside, but no further off the photograph than needed.
    left = _place(x - slack_x, x, side, width, rng)
    top = _place(y - slack_y, y, side, height, rng)
    angle = np.radians(rng.uniform(-20.0, 20.0)) if rng.random() < 0.25 else 0.0
    aspect = np.exp(rng.uniform(-0.15, 0.15))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    scale = size / side
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    linear = np.diag([mirror * scale * aspect, scale / aspect]) @ turn
    centre = np.array([left + side / 2.0, top + side / 2.0])
    offset = np.array([size / 2.0, size / 2.0]) - linear @ centre
    return np.hstack([linear, offset[:, None]])


def _place(low: float, high: float, side: float, extent: int, rng: np.random.Generator) -> float:
    if side >= extent:
        return rng.uniform(extent - side, 0.0) * 0.5 + (extent - side) * 0.25
    low, high = max(low, 0.0), min(high, extent - side)
    return rng.uniform(low, high) if low < high else min(max((low + high) / 2.0, 0.0), extent - side)


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


def warp_box(inside: Image, box: tuple[float, float, float, float], transform: Affine, size: int) -> Image:
    """The crop of a mask that is empty outside its box ``x, y, w, h``, from its pixels inside; only where it shows."""
    x, y, w, h = box
    corners = np.array([[x, y], [x + w, y], [x, y + h], [x + w, y + h]]) @ transform[:, :2].T + transform[:, 2]
    # A pixel more on each side, for rounding.
    left, top = np.clip(np.floor(corners.min(0)).astype(int) - 1, 0, size)
    right, bottom = np.clip(np.ceil(corners.max(0)).astype(int) + 1, 0, size)
    crop = np.zeros((size, size), np.uint8)
    if left < right and top < bottom:
        offset = transform[:, :2] @ np.array([x, y]) + transform[:, 2] - np.array([left, top])
        moved = np.hstack([transform[:, :2], offset[:, None]])
        found = cv2.warpAffine(inside, moved, (int(right - left), int(bottom - top)), flags=cv2.INTER_NEAREST)
        crop[top:bottom, left:right] = found
    return crop


def paste(front: Image, inside: NDArray[np.bool_], back: Image, rng: np.random.Generator) -> Image:
    """The ``inside`` pixels of one crop before another, with an edge about as soft as photographs have."""
    alpha = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), rng.uniform(0.5, 1.2))[..., None]
    return np.asarray(np.round(alpha * front + (1.0 - alpha) * back), np.uint8)


def recolour(image: Image, rng: np.random.Generator) -> Image:
    """Brightness, contrast, gamma, hue, saturation, grey, blur, noise and JPEG, each now and then."""
    if rng.random() < 0.7:
        gain, bias, gamma = rng.uniform(0.7, 1.3), rng.uniform(-30.0, 30.0), np.exp(rng.uniform(-0.35, 0.35))
        levels = np.clip(np.arange(256) * gain + bias, 0, 255)
        table = (255.0 * (levels / 255.0) ** gamma).astype(np.uint8)
        image = np.asarray(cv2.LUT(image, table), np.uint8)
    if rng.random() < 0.4:
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        levels = np.arange(256)
        turned = (levels + rng.integers(-12, 13)) % 180
        saturated = np.clip(levels * rng.uniform(0.5, 1.5), 0, 255)
        hsv = cv2.LUT(hsv, np.stack([turned, saturated, levels], -1).astype(np.uint8)[None])
        image = np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB), np.uint8)
    if rng.random() < 0.05:
        image = np.asarray(cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    if rng.random() < 0.1:
        image = np.asarray(cv2.GaussianBlur(image, (0, 0), rng.uniform(0.5, 1.5)), np.uint8)
    if rng.random() < 0.1:
        noise = rng.uniform(2.0, 10.0) * rng.standard_normal(image.shape, np.float32)
        image = np.clip(image + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.1:
        _, packed = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
        image = np.asarray(cv2.imdecode(packed, cv2.IMREAD_COLOR), np.uint8)
    return image
