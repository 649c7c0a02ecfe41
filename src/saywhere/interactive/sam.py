"""SAM's array shapes: prompts in, masks out."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import ArrayLike

from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.core.mask import NOTHING, Mask
from saywhere.core.prompt import Click
from saywhere.errors import SaywhereError

LOW_RESOLUTION = 256  # side of SAM's low-resolution logits
MULTIMASK_THRESHOLDS = (0.7, 0.5, 0.3)


def low_resolution_crop(size: ImageSize) -> Crop:
    """The whole image at SAM's low resolution."""
    return Crop.from_box((0, 0, size.width, size.height), size, LOW_RESOLUTION)


def read_points(coords: ArrayLike | None, labels: ArrayLike | None) -> list[Click]:
    """Clicks from SAM's arrays.

    Args:
        coords: ``(N, 2)`` x and y in pixels of the image.
        labels: ``(N,)``, 1 for a positive and 0 for a negative click.

    Raises:
        SaywhereError: the shapes do not belong together, or a label is another number.
    """
    if coords is None and labels is None:
        return []
    points, signs = np.asarray(coords, np.float64), np.asarray(labels)
    if points.ndim != 2 or points.shape[1] != 2 or signs.shape != (len(points),):
        raise SaywhereError(
            f"point_coords of shape {points.shape} and point_labels of shape {signs.shape}: give (N, 2) and (N,)"
        )
    if not np.isin(signs, (0, 1)).all():
        raise SaywhereError(f"point_labels {signs.tolist()}: give 1 (on the object) or 0 (off it)")
    return [Click(float(x), float(y), bool(sign)) for (x, y), sign in zip(points, signs, strict=True)]


def read_mask_input(mask_input: ArrayLike, size: ImageSize, threshold: float) -> Mask:
    """A previous mask from the low-resolution logits that an earlier call returned.

    Args:
        mask_input: ``(1, 256, 256)`` or ``(256, 256)``.
        size: of the image.
        threshold: of the mask.

    Raises:
        SaywhereError: it has another shape.
    """
    logits, side = np.asarray(mask_input, np.float32), LOW_RESOLUTION
    if logits.shape not in ((1, side, side), (side, side)):
        raise SaywhereError(f"mask_input of shape {logits.shape}: give the (1, {side}, {side}) logits of predict")
    crop = low_resolution_crop(size)
    logits = logits.reshape(side, side)[: crop.height, : crop.width]
    return Mask(crop, np.ascontiguousarray(logits), size, threshold)


def as_arrays(mask: Mask, multimask_output: bool) -> tuple[BoolArray, FloatArray, FloatArray]:
    """A mask in SAM's shapes.

    Args:
        mask: the mask.
        multimask_output: whether to return three masks of different thresholds instead of one.

    Returns:
        Masks ``(C, H, W)``, scores ``(C,)`` and low-resolution logits ``(C, 256, 256)``.
    """
    thresholds = MULTIMASK_THRESHOLDS if multimask_output else (mask.threshold,)
    masks = [replace(mask, threshold=threshold) for threshold in thresholds]
    crop = low_resolution_crop(mask.image_size)
    logits = np.full((LOW_RESOLUTION, LOW_RESOLUTION), NOTHING, np.float32)
    logits[: crop.height, : crop.width] = mask.crop.resample(mask.logits, crop, NOTHING)
    return (
        np.stack([one.array for one in masks]),
        np.array([one.score for one in masks], np.float32),
        np.repeat(logits[None], len(masks), axis=0),
    )
