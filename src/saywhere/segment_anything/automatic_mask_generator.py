"""Masks for everything in an image: a grid of clicks, all candidates of each, without those that are bad or double."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from saywhere.core.arrays import BoolArray, FloatArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import Box, ImageSize, bounding_box
from saywhere.core.images import read_image
from saywhere.core.mask import NOTHING
from saywhere.core.numbers import describe
from saywhere.core.prompt import Click, Prompt
from saywhere.core.rle import RunLengths
from saywhere.errors import SaywhereError
from saywhere.interactive.decoding import DecoderInput, MaskDecoder
from saywhere.interactive.segmenter import Segmenter
from saywhere.segment_anything.grid import Window, layered_grids, windows
from saywhere.segment_anything.model import Sam

OUTPUT_MODES = ("binary_mask", "uncompressed_rle", "coco_rle")
NEAR_EDGE = 20.0  # pixels; a mask that ends so near to a crop's edge is probably truncated by it


@dataclass(frozen=True)
class _Found:
    """A mask of one window.

    Attributes:
        window: the window.
        crop: the window as it was encoded.
        logits: ``(h, w)`` of the crop.
        box: in pixels of the image.
        point: the click, in pixels of the image.
        predicted_iou: of the mask.
        stability: of the mask.
    """

    window: Window
    crop: Crop
    logits: FloatArray = field(repr=False)
    box: Box
    point: tuple[float, float]
    predicted_iou: float
    stability: float


class SamAutomaticMaskGenerator:
    """Finds masks of everything in an image, with the options and records of SAM's class.

    Args:
        model: of :data:`sam_model_registry`, or a Segmenter.
        points_per_side: of the grid of clicks; None: ``point_grids`` are given.
        points_per_batch: clicks after which duplicates are left out, so that less memory is taken.
        pred_iou_thresh: predicted IoU that a mask has at least. SAM's networks predict higher values than ours, and
            their default is 0.88.
        stability_score_thresh: stability that a mask has at least: its area at a higher threshold over that at a lower
            one.
        stability_score_offset: how far these thresholds are from the mask's own, in logits.
        box_nms_thresh: IoU of the boxes of two masks from which on the worse one is left out.
        crop_n_layers: of crops that are searched beside the whole image: 4 crops, then 16, and so on.
        crop_nms_thresh: as ``box_nms_thresh``, of masks of different crops, of which those of smaller crops stay.
        crop_overlap_ratio: by how much crops overlap, over the image's shorter side.
        crop_n_points_downscale_factor: by which there are fewer points along a side in each layer.
        point_grids: ``(n, 2)`` points in the unit square for each layer, instead of ``points_per_side``.
        min_mask_region_area: pixels below which a hole is filled and a component dropped; 0 leaves both.
        output_mode: of ``segmentation``: "binary_mask", "uncompressed_rle" or "coco_rle".

    Raises:
        SaywhereError: an option is not possible.

    Example:
        >>> image = np.full((64, 96, 3), 40, np.uint8)
        >>> image[16:48, 30:70] = 230
        >>> from saywhere.segment_anything import sam_model_registry
        >>> generator = SamAutomaticMaskGenerator(sam_model_registry["vit_b"](), points_per_side=4)
        >>> sorted(generator.generate(image)[0])[:3]
        ['area', 'bbox', 'crop_box']
    """

    def __init__(
        self,
        model: Sam | Segmenter,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.7,
        stability_score_thresh: float = 0.8,
        stability_score_offset: float = 1.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[NDArray[Any]] | None = None,
        min_mask_region_area: int = 0,
        output_mode: str = "binary_mask",
    ) -> None:
        if (points_per_side is None) == (point_grids is None):
            raise SaywhereError("points_per_side and point_grids: give one of them, and None for the other")
        if output_mode not in OUTPUT_MODES:
            raise SaywhereError(f"output_mode {describe(output_mode)}: choose {', '.join(OUTPUT_MODES)}")
        if point_grids is not None and len(point_grids) < crop_n_layers + 1:
            raise SaywhereError(f"point_grids: {len(point_grids)} grids for {crop_n_layers + 1} layers; give one each")
        if points_per_side is not None and points_per_side < 1:
            raise SaywhereError(f"points_per_side {points_per_side}: give at least 1")
        self.model = Sam(model) if isinstance(model, Segmenter) else model
        self.point_grids: Sequence[NDArray[Any]] = (
            layered_grids(points_per_side, crop_n_layers, crop_n_points_downscale_factor)
            if points_per_side is not None
            else list(point_grids or ())
        )
        self.points_per_batch = max(points_per_batch, 1)
        self.pred_iou_thresh, self.stability_score_thresh = pred_iou_thresh, stability_score_thresh
        self.stability_score_offset = stability_score_offset
        self.box_nms_thresh, self.crop_nms_thresh = box_nms_thresh, crop_nms_thresh
        self.crop_n_layers, self.crop_overlap_ratio = crop_n_layers, crop_overlap_ratio
        self.min_mask_region_area, self.output_mode = min_mask_region_area, output_mode

    def generate(self, image: NDArray[np.uint8] | Image.Image) -> list[dict[str, Any]]:
        """Find masks.

        Args:
            image: ``(H, W, 3)`` uint8 RGB.

        Returns:
            A record for each mask, the highest predicted IoU first: ``segmentation`` ``(H, W)`` bool or run lengths,
            ``area`` in pixels, ``bbox`` and ``crop_box`` as left, top, width and height, ``predicted_iou``,
            ``point_coords`` ``[[x, y]]`` of the click, and ``stability_score``.

        Raises:
            SaywhereError: it is no image.
        """
        pixels = read_image(image)
        size = ImageSize(*pixels.shape[:2])
        found: list[_Found] = []
        for window in windows(size, self.crop_n_layers, self.crop_overlap_ratio):
            found += self._search(pixels, window)
        if self.crop_n_layers:
            areas = np.array([-each.window.size.height * each.window.size.width for each in found], np.float32)
            found = [found[i] for i in suppressed([each.box for each in found], areas, self.crop_nms_thresh)]
        found.sort(key=lambda each: -each.predicted_iou)
        return self._records(found, size)

    def _search(self, pixels: NDArray[np.uint8], window: Window) -> list[_Found]:
        """The masks of one window, without duplicates."""
        source = self.model.segmenter
        part = np.ascontiguousarray(pixels[window.top : window.bottom, window.left : window.right])
        segmenter = Segmenter(source.runtime, replace(source.settings, zoom=False)).set_image(part)
        decoder = MaskDecoder(segmenter.runtime, segmenter.encoded, segmenter.settings)
        size = window.size
        points = np.asarray(self.point_grids[window.layer], np.float64) * (size.width, size.height)
        found: list[_Found] = []
        for start in range(0, len(points), self.points_per_batch):
            for x, y in points[start : start + self.points_per_batch]:
                found += self._masks_at(decoder, Click(float(x) - 0.5, float(y) - 0.5), window, pixels.shape)
            scores = np.array([each.predicted_iou for each in found], np.float32)
            found = [found[i] for i in suppressed([each.box for each in found], scores, self.box_nms_thresh)]
        return found

    def _masks_at(self, decoder: MaskDecoder, click: Click, window: Window, shape: tuple[int, ...]) -> list[_Found]:
        """The candidates for one click that are good enough."""
        crop, found = decoder.encoded.full_crop, []
        output = decoder.decode_crop(crop, DecoderInput(Prompt((click,))), None)
        for number, logits in enumerate(output.logits):
            predicted = output.predicted_ious
            iou = output.mask(number).score if predicted is None else float(predicted[number])
            if iou < self.pred_iou_thresh:
                continue
            stability = stability_score(logits, self.stability_score_offset)
            inner = crop.bounding_box(logits > 0.0)
            if stability < self.stability_score_thresh or inner is None or ends_at_edge(inner, window, shape):
                continue
            box = (inner[0] + window.left, inner[1] + window.top, inner[2] + window.left, inner[3] + window.top)
            point = click.x + 0.5 + window.left, click.y + 0.5 + window.top
            found.append(_Found(window, crop, logits, box, point, iou, stability))
        return found

    def _records(self, found: Sequence[_Found], size: ImageSize) -> list[dict[str, Any]]:
        masks = [whole_mask(each, size) for each in found]
        if self.min_mask_region_area > 0:
            cleaned = [without_small_regions(mask, self.min_mask_region_area) for mask in masks]
            unchanged = np.array([bool((a == b).all()) for a, b in zip(masks, cleaned, strict=True)], np.float32)
            boxes = [bounding_box(mask) or (0.0, 0.0, 0.0, 0.0) for mask in cleaned]
            limit = max(self.box_nms_thresh, self.crop_nms_thresh)
            kept = sorted(suppressed(boxes, unchanged, limit))
            found, masks = [found[i] for i in kept], [cleaned[i] for i in kept]
        return [self._record(each, mask) for each, mask in zip(found, masks, strict=True) if mask.any()]

    def _record(self, found: _Found, mask: BoolArray) -> dict[str, Any]:
        left, top, right, bottom = bounding_box(mask) or (0.0, 0.0, 0.0, 0.0)
        window = found.window
        return {
            "segmentation": self._encoded(mask),
            "area": int(np.count_nonzero(mask)),
            "bbox": [left, top, right - left, bottom - top],
            "predicted_iou": found.predicted_iou,
            "point_coords": [[*found.point]],
            "stability_score": found.stability,
            "crop_box": [float(n) for n in (window.left, window.top, window.size.width, window.size.height)],
        }

    def _encoded(self, mask: BoolArray) -> BoolArray | dict[str, Any]:
        if self.output_mode == "binary_mask":
            return mask
        lengths = RunLengths.from_mask(mask)
        size = [lengths.height, lengths.width]
        if self.output_mode == "coco_rle":
            return {"size": size, "counts": lengths.counts.decode()}
        return {"size": size, "counts": run_lengths(mask)}


def run_lengths(mask: BoolArray) -> list[int]:
    """Run lengths of a mask in COCO's order, beginning with background.

    Example:
        >>> run_lengths(np.array([[True, False], [True, True]]))
        [0, 2, 1, 1]
    """
    pixels = mask.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    lengths = np.diff([0, *changes.tolist(), len(pixels)]).tolist()
    return [0, *lengths] if pixels[0] else lengths


def stability_score(logits: FloatArray, offset: float) -> float:
    """The area of a mask at a higher threshold over that at a lower one, which is their IoU.

    Example:
        >>> stability_score(np.array([[3.0, 0.5, -0.5, -3.0]], np.float32), 1.0)
        0.3333333333333333
    """
    return int(np.count_nonzero(logits > offset)) / max(int(np.count_nonzero(logits > -offset)), 1)


def ends_at_edge(box: Box, window: Window, shape: tuple[int, ...]) -> bool:
    """Whether a mask ends near an edge of its window that is not an edge of the image.

    Args:
        box: of the mask, in pixels of the window.
        window: the window.
        shape: height and width of the image.
    """
    size = window.size
    inner = (window.left > 0, window.top > 0, window.right < shape[1], window.bottom < shape[0])
    distances = (box[0], box[1], size.width - box[2], size.height - box[3])
    return any(is_inner and distance <= NEAR_EDGE for is_inner, distance in zip(inner, distances, strict=True))


def suppressed(boxes: Sequence[Box], scores: FloatArray, limit: float) -> list[int]:
    """Non-maximum suppression by the IoU of boxes: the indices that stay, the highest score first.

    Example:
        >>> suppressed([(0, 0, 9, 9), (0, 0, 9, 8), (20, 0, 29, 9)], np.array([0.5, 0.9, 0.7], np.float32), 0.7)
        [1, 2]
    """
    edges, kept = np.array(boxes, np.float64).reshape(-1, 4), []
    areas = (edges[:, 2] - edges[:, 0]) * (edges[:, 3] - edges[:, 1])
    left = np.argsort(-scores, kind="stable")
    while left.size:
        first, others = left[0], left[1:]
        kept.append(int(first))
        low = np.maximum(edges[first, :2], edges[others, :2])
        high = np.minimum(edges[first, 2:], edges[others, 2:])
        common = np.clip(high - low, 0.0, None).prod(axis=1)
        union = areas[first] + areas[others] - common
        left = others[common <= limit * union]
    return kept


def whole_mask(found: _Found, size: ImageSize) -> BoolArray:
    """A mask at the size of the image."""
    window, mask = found.window, np.zeros(size, np.bool_)
    part = found.crop.to_image(found.logits, window.size, NOTHING) > 0.0
    mask[window.top : window.bottom, window.left : window.right] = part
    return mask


def without_small_regions(mask: BoolArray, least: int) -> BoolArray:
    """A mask with small holes filled and small components dropped; the largest component always stays.

    Args:
        mask: ``(H, W)``.
        least: pixels below which a region is small.
    """
    changed = mask.copy()
    for is_hole in (True, False):
        regions = (~changed if is_hole else changed).astype(np.uint8)
        count, labels, stats, _ = cv2.connectedComponentsWithStats(regions, connectivity=8)
        areas = stats[:, cv2.CC_STAT_AREA]
        small = areas < least
        small[0] = False
        if not is_hole and count > 1 and small[1:].all():
            small[1 + int(areas[1:].argmax())] = False
        changed[small[labels]] = is_hole
    return changed
