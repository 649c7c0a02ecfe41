"""Prompts and masks as torch tensors in SAM's frame, in which the longer side of an image has 1024 pixels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from saywhere.core.arrays import ImageArray
from saywhere.core.geometry import ImageSize
from saywhere.core.numbers import describe
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter

Masks = tuple[Tensor, Tensor, Tensor]


def image_of(tensor: Tensor, size: ImageSize) -> ImageArray:
    """An image of some size from one in SAM's frame.

    Args:
        tensor: ``(3, H, W)`` RGB, values 0 to 255.
        size: of the image before it was resized.

    Returns:
        ``(H, W, 3)`` uint8.

    Raises:
        SaywhereError: it has another shape.
    """
    if not isinstance(tensor, Tensor) or tensor.ndim != 3 or tensor.shape[0] != 3:
        shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else describe(tensor)
        raise SaywhereError(f"image {shape}: give a tensor of shape (3, H, W), values 0 to 255")
    pixels = np.clip(tensor.detach().cpu().float().permute(1, 2, 0).numpy().round(), 0, 255).astype(np.uint8)
    if pixels.shape[:2] == size:
        return np.ascontiguousarray(pixels)
    how = cv2.INTER_AREA if size.height < pixels.shape[0] else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (size.width, size.height), interpolation=how), np.uint8)


def predict_tensors(
    segmenter: Segmenter,
    frame: ImageSize,
    point_coords: Tensor | None,
    point_labels: Tensor | None,
    boxes: Tensor | None,
    mask_input: Tensor | None,
    multimask_output: bool,
    return_logits: bool = False,
) -> Masks:
    """Masks for a batch of prompts of one image.

    Args:
        segmenter: has the image.
        frame: size of the image in SAM's frame.
        point_coords: ``(B, N, 2)`` in the frame.
        point_labels: ``(B, N)``.
        boxes: ``(B, 4)`` in the frame.
        mask_input: ``(B, 1, 256, 256)`` logits of earlier calls.
        multimask_output: whether to return all candidates.
        return_logits: whether masks are logits.

    Returns:
        Masks ``(B, C, H, W)``, scores ``(B, C)`` and logits ``(B, C, 256, 256)``, on the prompt's device.

    Raises:
        SaywhereError: the shapes do not belong together, or as for :meth:`saywhere.Segmenter.predict`.
    """
    given = {"point_coords": point_coords, "point_labels": point_labels, "boxes": boxes, "mask_input": mask_input}
    present = {name: value for name, value in given.items() if value is not None}
    counts = {name: len(value) for name, value in present.items()}
    if not counts or len(set(counts.values())) != 1:
        raise SaywhereError(f"prompts of {counts or 'no arrays'}: give tensors of one length, B prompts")
    size = segmenter.encoded.size
    scale = np.array([size.width / frame.width, size.height / frame.height])
    arrays = {name: value.detach().cpu().numpy() for name, value in present.items()}
    answers = []
    for i in range(next(iter(counts.values()))):
        points, box = arrays.get("point_coords"), arrays.get("boxes")
        answers.append(
            segmenter.predict(
                None if points is None else points[i] * scale,
                arrays["point_labels"][i] if "point_labels" in arrays else None,
                None,
                arrays["mask_input"][i] if "mask_input" in arrays else None,
                multimask_output,
                None if box is None else (box[i].reshape(2, 2) * scale).ravel(),
                return_logits,
            )
        )
    device = next(iter(present.values())).device
    masks, scores, low = (torch.from_numpy(np.stack(each)).to(device) for each in zip(*answers, strict=True))
    return masks, scores, low


def predict_record(segmenter: Segmenter, record: Mapping[str, Any], multimask_output: bool) -> dict[str, Tensor]:
    """Masks for one image with its prompts; see :meth:`saywhere.segment_anything.model.Sam.__call__`."""
    if "image" not in record or "original_size" not in record:
        raise SaywhereError(f"batched input with {', '.join(record) or 'nothing'}: image and original_size are missing")
    size, image = ImageSize(*record["original_size"]), record["image"]
    own = Segmenter(segmenter.runtime, segmenter.settings).set_image(image_of(image, size))
    masks, scores, low = predict_tensors(
        own, ImageSize(*image.shape[1:]), record.get("point_coords"), record.get("point_labels"), record.get("boxes"),
        record.get("mask_inputs"), multimask_output,
    )  # fmt: skip
    return {"masks": masks, "iou_predictions": scores, "low_res_logits": low}
