"""The automatic mask generator on a runtime whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from conftest import ColourRuntime, disc
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import RunLengths
from saywhere.core.settings import Settings
from saywhere.errors import SaywhereError
from saywhere.interactive.segmenter import Segmenter
from saywhere.segment_anything import Sam, SamAutomaticMaskGenerator
from saywhere.segment_anything.automatic_mask_generator import suppressed, without_small_regions
from saywhere.segment_anything.grid import windows

DISCS = {(70, 70, 45): (220, 30, 20), (180, 120, 40): (30, 200, 40), (290, 60, 35): (240, 230, 90)}
SIZE = ImageSize(200, 300)


def scene() -> np.ndarray:
    """Three discs of different colours on blue, 300x200; the last one ends at the right border."""
    image = np.zeros((*SIZE, 3), np.uint8)
    image[...] = (20, 40, 160)
    for (x, y, radius), colour in DISCS.items():
        image[disc(*SIZE, x, y, radius)] = colour
    return image


@pytest.fixture
def segmenter() -> Segmenter:
    return Segmenter(ColourRuntime(), Settings(size=300, enlarge=False))


def test_everything_is_found_once(segmenter: Segmenter) -> None:
    options = {"points_per_side": 12, "pred_iou_thresh": 0.5}
    records = SamAutomaticMaskGenerator(segmenter, **options).generate(scene())
    assert len(records) == 4  # the background too
    for x, y, radius in DISCS:
        expected = disc(*SIZE, x, y, radius)
        (found,) = [each for each in records if np.array_equal(each["segmentation"], expected)]
        left, top, width, height = found["bbox"]
        assert (left, top) == (x - radius, y - radius)
        assert left + width == min(x + radius + 1, 300)
        assert height == 2 * radius + 1
        assert found["area"] == expected.sum()
        assert found["crop_box"] == [0.0, 0.0, 300.0, 200.0]
        ((px, py),) = found["point_coords"]
        assert expected[int(py), int(px)]
        assert found["stability_score"] == 1.0
    for mode in ("coco_rle", "uncompressed_rle"):
        packed = SamAutomaticMaskGenerator(segmenter, output_mode=mode, **options).generate(scene())
        for one, other in zip(packed, records, strict=True):
            counts = one["segmentation"]["counts"]
            assert one["segmentation"]["size"] == [200, 300]
            made = RunLengths.from_counts if mode == "coco_rle" else RunLengths.from_lengths
            assert np.array_equal(made(counts, SIZE).mask(), other["segmentation"])


def test_crops_find_objects_between_the_points_of_the_whole_image(segmenter: Segmenter) -> None:
    small = scene()
    small[30:40, 200:210] = (250, 250, 250)
    options = {"pred_iou_thresh": 0.5, "point_grids": [np.array([[0.1, 0.1]]), np.array([[0.2, 0.2], [0.48, 0.26]])]}
    generator = SamAutomaticMaskGenerator(segmenter, None, crop_n_layers=1, **options)  # type: ignore[arg-type]
    layered = generator.generate(small)
    generator.crop_n_layers = 0
    assert not any(each["segmentation"][35, 205] and each["area"] == 100 for each in generator.generate(small))
    (found,) = [each for each in layered if each["segmentation"][35, 205] and each["area"] == 100]
    assert found["crop_box"] != [0.0, 0.0, 300.0, 200.0]
    px, py = found["point_coords"][0]
    assert (200 <= px < 210, 30 <= py < 40) == (True, True)


def test_what_a_crop_truncates_is_left_out(segmenter: Segmenter) -> None:
    options = {"pred_iou_thresh": 0.5, "points_per_side": 8, "crop_n_layers": 1}
    records = SamAutomaticMaskGenerator(segmenter, **options).generate(scene())  # type: ignore[arg-type]
    for x, y, radius in DISCS:
        expected = disc(*SIZE, x, y, radius)
        shown = [each for each in records if each["segmentation"][y, min(x, 299)] and each["area"] < 20_000]
        assert len(shown) == 1
        assert np.array_equal(shown[0]["segmentation"], expected)


def test_holes_and_small_components(segmenter: Segmenter) -> None:
    holed = scene()
    holed[65:69, 80:84] = (20, 40, 160)
    options = {"points_per_side": 12, "pred_iou_thresh": 0.5}
    for least, has_hole in ((0, True), (30, False)):
        found = SamAutomaticMaskGenerator(segmenter, min_mask_region_area=least, **options).generate(holed)
        (red,) = [each for each in found if each["segmentation"][70, 70]]
        assert red["segmentation"][67, 82] != has_hole
        assert red["area"] == red["segmentation"].sum()
    mask = np.zeros((20, 20), np.bool_)
    mask[2:9, 2:9] = True
    mask[4, 4] = False
    mask[15, 15] = True
    cleaned = without_small_regions(mask, 5)
    assert cleaned[4, 4]
    assert not cleaned[15, 15]
    only = np.zeros((20, 20), np.bool_)
    only[3, 3] = True
    assert np.array_equal(without_small_regions(only, 5), only)


def test_windows_cover_the_image_and_overlap() -> None:
    found = windows(ImageSize(101, 203), 2, 0.34)
    assert len(found) == 1 + 4 + 16
    for layer in (1, 2):
        covered = np.zeros((101, 203), int)
        for window in found:
            if window.layer == layer:
                covered[window.top : window.bottom, window.left : window.right] += 1
        assert covered.min() == 1
        assert covered.max() >= 4
    assert suppressed([], np.zeros(0, np.float32), 0.5) == []


def test_thresholds_and_bad_options(segmenter: Segmenter) -> None:
    assert SamAutomaticMaskGenerator(segmenter, points_per_side=3, pred_iou_thresh=1.1).generate(scene()) == []
    for options, expected in (
        ({"points_per_side": None}, "points_per_side and point_grids: give one of them"),
        ({"points_per_side": 0}, "points_per_side 0: give at least 1"),
        ({"output_mode": "png"}, "output_mode 'png': choose binary_mask"),
        ({"points_per_side": None, "point_grids": [np.ones((1, 2)) / 2], "crop_n_layers": 1}, "1 grids for 2 layers"),
    ):
        with pytest.raises(SaywhereError, match=expected):
            SamAutomaticMaskGenerator(Sam(segmenter), **options)  # type: ignore[arg-type]
