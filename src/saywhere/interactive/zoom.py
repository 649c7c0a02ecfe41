"""Which crop of the image the network sees."""

from __future__ import annotations

import math
from collections.abc import Sequence

from saywhere.core.crop import Crop
from saywhere.core.geometry import Box
from saywhere.core.mask import Mask
from saywhere.core.prompt import Click, Prompt
from saywhere.core.settings import ResolvedSettings
from saywhere.interactive.encoded_image import EncodedImage

MIN_GAIN = 1.1  # how much smaller than the full crop another one must be to be worth its encoding
MAX_SLACK = 1.5  # how much larger than the best crop the present one may be and still stay


def first_crop(encoded: EncodedImage, prompt: Prompt, settings: ResolvedSettings, zoom_size: int) -> Crop:
    """The crop before there is a mask: the full crop, or a crop around a box or a first drag, which show the size.

    Args:
        encoded: the image.
        prompt: all interactions so far.
        settings: ``zoom``, ``zoom_margin``, ``drag_margin`` and ``size`` are used.
        zoom_size: longer side of a crop around something, in pixels.
    """
    first, box = (prompt.clicks[0] if prompt.clicks else None), None
    if prompt.box is not None:
        box = _expanded(_including(prompt.box, _positive(prompt)), settings.zoom_margin)
    elif first is not None and first.radius is not None and first.positive and settings.drag_margin:
        reach = settings.drag_margin * first.radius
        box = (first.x + 0.5 - reach, first.y + 0.5 - reach, first.x + 0.5 + reach, first.y + 0.5 + reach)
    if box is None or not settings.zoom:
        return encoded.full_crop
    near = Crop.from_box(_including(box, _positive(prompt)), encoded.size, zoom_size)
    if prompt.box is not None:
        return near if _is_worth_it(encoded, near, settings, zoom_size) else encoded.full_crop
    return near if encoded.full_crop.longer_side > MIN_GAIN * near.longer_side else encoded.full_crop


def next_crop(encoded: EncodedImage, prompt: Prompt, mask: Mask, settings: ResolvedSettings, zoom_size: int) -> Crop:
    """The crop that the object and its positive clicks fill with the margin of the settings.

    It shows the same pixels as the mask's crop, as long as these hold the object with some margin and are not far too
    many. An object that is truncated by the mask's crop gets twice the margin, because its extent is not known yet. A
    box shows the extent: then the crop is the box's, whatever the mask is.

    Args:
        encoded: the image.
        prompt: all interactions so far.
        mask: the present mask.
        settings: ``zoom``, ``zoom_margin``, ``drag_margin`` and ``size`` are used.
        zoom_size: longer side of a crop around something, in pixels.
    """
    if prompt.box is not None:
        return first_crop(encoded, prompt, settings, zoom_size)
    full, present, margin = encoded.full_crop, mask.crop, settings.zoom_margin - 1.0
    object_box = present.bounding_box(mask.logits > 0)
    if object_box is None or not settings.zoom:
        return full
    box = _including(object_box, _positive(prompt))
    factor = 1.0 + (2.0 * margin if is_truncated(encoded, mask) else margin)
    target_crop = Crop.from_box(_expanded(box, factor), encoded.size, zoom_size)
    if present != full:
        least = Crop.from_box(_expanded(box, 1.0 + margin / 4.0), encoded.size, zoom_size)
        if present.contains(least) and present.longer_side < MAX_SLACK * target_crop.longer_side:
            return present.resized(zoom_size)
    return target_crop if _is_worth_it(encoded, target_crop, settings, zoom_size) else full


def _is_worth_it(encoded: EncodedImage, crop: Crop, settings: ResolvedSettings, zoom_size: int) -> bool:
    """Whether a crop shows so much more than the full crop that it is worth its encoding."""
    return encoded.full_crop.longer_side > MIN_GAIN * crop.longer_side or zoom_size > settings.size


def is_truncated(encoded: EncodedImage, mask: Mask) -> bool:
    """Whether a mask ends at a side of its crop that is not a side of the image."""
    box = mask.crop.bounding_box(mask.logits > 0)
    return box is not None and mask.crop != encoded.full_crop and mask.crop.is_truncated(box, encoded.size)


def _positive(prompt: Prompt) -> list[Click]:
    return [click for click in prompt.clicks if click.positive]


def _including(box: Box, clicks: Sequence[Click]) -> Box:
    """A box that holds clicks too."""
    xs, ys = [c.x + 0.5 for c in clicks], [c.y + 0.5 for c in clicks]
    return min(box[0], *xs, math.inf), min(box[1], *ys, math.inf), max(box[2], *xs, 0.0), max(box[3], *ys, 0.0)


def _expanded(box: Box, factor: float) -> Box:
    """A box that is larger by the same length on all sides, so that a thin object gets surroundings too."""
    grow = (factor - 1.0) * max(box[2] - box[0], box[3] - box[1]) / 2.0
    return box[0] - grow, box[1] - grow, box[2] + grow, box[3] + grow
