"""SAM's array shapes: prompts in, masks out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from saywhere.core.arrays import FloatArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.core.mask import NOTHING, Mask, logit
from saywhere.core.numbers import describe
from saywhere.core.prompt import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, NEGATIVE, PADDING, POSITIVE, Click, Prompt
from saywhere.errors import SaywhereError
from saywhere.interactive.checks import check_box, check_click, check_clicks, check_phrase
from saywhere.interactive.decoding import MaskDecoder
from saywhere.interactive.effective_prompt import decoder_input

LOW_RESOLUTION = 256  # side of SAM's low-resolution logits
MULTIMASK_THRESHOLDS = (0.7, 0.5, 0.3)


def low_resolution_crop(size: ImageSize) -> Crop:
    """The whole image at SAM's low resolution."""
    return Crop.from_box((0, 0, size.width, size.height), size, LOW_RESOLUTION)


def read_prompt(
    coords: ArrayLike | None, labels: ArrayLike | None, box: ArrayLike | None
) -> tuple[list[Click], tuple[float, ...] | None]:
    """Clicks and a box from SAM's arrays.

    Args:
        coords: ``(N, 2)`` x and y in pixels of the image.
        labels: ``(N,)``, 1 for a positive and 0 for a negative click, 2 and 3 for the corners of a box, -1 for none.
        box: ``(4,)`` or ``(1, 4)``, left, top, right and bottom.

    Returns:
        The clicks, and the edges of the box, which are not checked; None without a box.

    Raises:
        SaywhereError: the shapes do not belong together, a label is another number, or there is not one box.
    """
    edges = None if box is None else _read_box(box)
    if coords is None and labels is None:
        return [], edges
    points, signs = _as_numbers(coords, "point_coords"), _as_numbers(labels, "point_labels", kinds="biuf")
    if points.ndim != 2 or points.shape[1] != 2 or signs.shape != (len(points),):
        raise SaywhereError(
            f"point_coords of shape {points.shape} and point_labels of shape {signs.shape}: give (N, 2) and (N,)"
        )
    if not np.isin(signs, (POSITIVE, NEGATIVE, BOX_TOP_LEFT, BOX_BOTTOM_RIGHT, PADDING)).all():
        raise SaywhereError(
            f"point_labels {signs.tolist()}: give 1 (on the object), 0 (off it), 2 and 3 (corners of a box) or -1"
        )
    top_left, bottom_right = points[signs == BOX_TOP_LEFT], points[signs == BOX_BOTTOM_RIGHT]
    if len(top_left) or len(bottom_right):
        if len(top_left) != 1 or len(bottom_right) != 1 or edges is not None:
            raise SaywhereError(
                f"point_labels {signs.tolist()}: one box is a 2 and a 3, its corners, or the argument box, not both"
            )
        edges = tuple(np.concatenate([top_left[0], bottom_right[0]]).tolist())
    clicks = [
        Click(float(x), float(y), sign == POSITIVE)
        for (x, y), sign in zip(points, signs, strict=True)
        if sign in (POSITIVE, NEGATIVE)
    ]
    return clicks, edges


def _as_numbers(values: Any, name: str, kinds: str = "iuf") -> NDArray[np.float64]:
    """An array of numbers; SaywhereError for text, None, objects and lists of unequal lengths.

    Args:
        values: what the caller gave.
        name: of the argument.
        kinds: the kinds of dtype that are taken, as numpy abbreviates them.
    """
    try:
        array = np.asarray(values)
        if array.dtype.kind in kinds:
            return np.asarray(array, np.float64)
    except Exception as error:  # whatever another library's array raises when numpy asks for its values
        reason = " ".join(str(error).split())
        raise SaywhereError(f"{name} {describe(values)}: give an array of numbers ({reason})") from error
    raise SaywhereError(f"{name} {describe(values)}: give an array of numbers")


def _read_box(box: ArrayLike) -> tuple[float, ...]:
    edges = _as_numbers(box, "box")
    if edges.shape not in ((4,), (1, 4)):
        raise SaywhereError(f"box of shape {edges.shape}: give (4,), left, top, right and bottom edge in pixels")
    return tuple(edges.reshape(4).tolist())


def read_mask_input(mask_input: ArrayLike, size: ImageSize, threshold: float) -> Mask:
    """A previous mask from the low-resolution logits that an earlier call returned.

    Args:
        mask_input: ``(1, 256, 256)`` or ``(256, 256)``.
        size: of the image.
        threshold: of the mask.

    Raises:
        SaywhereError: it has another shape, or is not of finite numbers.
    """
    side = LOW_RESOLUTION
    with np.errstate(over="ignore"):  # what float32 cannot hold becomes infinite, which is refused below
        logits = np.asarray(_as_numbers(mask_input, "mask_input"), np.float32)
    if logits.shape not in ((1, side, side), (side, side)):
        raise SaywhereError(f"mask_input of shape {logits.shape}: give the (1, {side}, {side}) logits of predict")
    if not np.isfinite(logits).all():
        raise SaywhereError("mask_input: holds NaN or infinite values; give the logits of an earlier predict")
    crop = low_resolution_crop(size)
    logits = logits.reshape(side, side)[: crop.height, : crop.width]
    return Mask(crop, np.ascontiguousarray(logits), size, threshold)


def with_thresholds(mask: Mask) -> list[Mask]:
    """Three masks of different thresholds instead of one, smallest first."""
    return [replace(mask, threshold=threshold) for threshold in MULTIMASK_THRESHOLDS]


def as_arrays(masks: Sequence[Mask], return_logits: bool = False) -> tuple[NDArray[Any], FloatArray, FloatArray]:
    """Masks in SAM's shapes.

    Args:
        masks: C masks of one image.
        return_logits: whether masks are logits, above 0 on the object, instead of bool.

    Returns:
        Masks ``(C, H, W)``, scores ``(C,)`` and low-resolution logits ``(C, 256, 256)``. A score is the predicted IoU,
        or the expected IoU where the network predicts none.
    """
    crop = low_resolution_crop(masks[0].image_size)
    logits = np.full((len(masks), LOW_RESOLUTION, LOW_RESOLUTION), NOTHING, np.float32)
    for low, mask in zip(logits, masks, strict=True):
        low[: crop.height, : crop.width] = mask.crop.resample(mask.logits, crop, NOTHING)
    scores = [mask.score if mask.predicted_iou is None else mask.predicted_iou for mask in masks]
    arrays = [whole_logits(mask) if return_logits else mask.array for mask in masks]
    return np.stack(arrays), np.array(scores, np.float32), logits


def whole_logits(mask: Mask) -> FloatArray:
    """The logits of a mask at the size of its image, ``(H, W)``, above 0 exactly on the mask."""
    logits = mask.crop.to_image(mask.final_logits, mask.image_size, NOTHING)
    return np.asarray(logits - logit(mask.threshold), np.float32)


def predict(
    decoder: MaskDecoder,
    point_coords: ArrayLike | None,
    point_labels: ArrayLike | None,
    text: str | None,
    mask_input: ArrayLike | None,
    multimask_output: bool,
    box: ArrayLike | None,
    return_logits: bool = False,
) -> tuple[NDArray[Any], FloatArray, FloatArray]:
    """See :meth:`saywhere.Segmenter.predict`, which has the arguments, results and errors."""
    runtime, image_size = decoder.runtime, decoder.encoded.size
    phrase = None if text is None else check_phrase(text, runtime)
    clicks, edges = read_prompt(point_coords, point_labels, box)
    checked = None if edges is None else check_box(edges, runtime, image_size)
    prompt = Prompt(tuple(check_click(click, image_size) for click in clicks), phrase, checked)
    check_clicks(prompt.clicks, runtime)
    if not prompt:
        raise SaywhereError("no prompt: give point_coords and point_labels, box, or text")
    given = decoder_input(decoder, prompt)
    if mask_input is not None:
        previous = read_mask_input(mask_input, image_size, decoder.settings.threshold)
        given = replace(given, previous=previous, use_previous=True)
    answer = decoder.decode(given)
    if not multimask_output:
        return as_arrays([answer.mask], return_logits)
    if len(answer.candidates) == 1:
        return as_arrays(with_thresholds(answer.mask), return_logits)
    chosen = [(replace(given, output=each.candidate), each) for each in answer.candidates]
    masks = [decoder.decode_choice(choice, answer, each).mask for choice, each in chosen]
    return as_arrays(masks, return_logits)
