"""Run lengths: equal to those of pycocotools, and checked before they are passed to it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as pycocotools_mask

from saywhere import SaywhereError
from saywhere.core.geometry import ImageSize
from saywhere.core.rle import MAX_COORDINATE, MAX_OUTLINE, RunLengths, containment

SIDES = st.integers(1, 20)
MASKS = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(bool, size))
SIZE = ImageSize(40, 60)
SQUARE = [10, 5, 25, 5, 25, 15, 10, 15]


def runs(mask: np.ndarray) -> list[int]:
    """The run lengths of a mask, by their definition."""
    flat = mask.flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    return ([0] if flat[0] else []) + np.diff([0, *edges, flat.size]).tolist()


class TestRoundTrip:
    @given(MASKS)
    def test_every_form(self, mask: np.ndarray) -> None:
        region = RunLengths.from_mask(mask)
        size = ImageSize(*mask.shape)
        assert region.size == size
        assert np.array_equal(region.mask(), mask)
        assert RunLengths.from_counts(region.counts, size) == RunLengths.from_counts(region.text, size) == region
        assert RunLengths.from_lengths(runs(mask), size) == region
        for counts in (region.text, runs(mask)):
            assert RunLengths.from_coco({"size": list(size), "counts": counts}, size) == region

    def test_runs_of_many_digits(self) -> None:
        mask = np.zeros((4000, 5000), bool)
        mask[1000:3000, 2000:2003] = True
        mask[17, 4990] = True
        region = RunLengths.from_mask(mask)
        assert np.array_equal(RunLengths.from_counts(region.counts, region.size).mask(), mask)

    @given(MASKS)
    def test_area_box_and_crop(self, mask: np.ndarray) -> None:
        region = RunLengths.from_mask(mask)
        assert region.area == mask.sum()
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        if not mask.any():
            assert region.box == (0, 0, 0, 0)
            return
        x, y, w, h = region.box
        assert (x, y, w, h) == (columns[0], rows[0], columns[-1] - columns[0] + 1, rows[-1] - rows[0] + 1)
        left, top, inside = region.cropped()
        assert (left, top) == (x, y)
        assert np.array_equal(inside, mask[y : y + h, x : x + w])
        annotation = region.as_annotation()
        assert (annotation["area"], annotation["bbox"]) == (region.area, [x, y, w, h])
        assert RunLengths.from_coco(annotation["segmentation"], region.size) == region

    @given(st.lists(st.integers(0, 200), min_size=1, max_size=8))
    def test_numbers_as_pycocotools_reads_them(self, counts: list[int]) -> None:
        lengths = counts if sum(counts) else [1]
        size = ImageSize(sum(lengths), 1)
        expected = pycocotools_mask.decode(pycocotools_mask.frPyObjects({"size": [*size], "counts": lengths}, *size))
        assert np.array_equal(RunLengths.from_lengths(lengths, size).mask(), expected)


class TestPolygons:
    @settings(max_examples=50)
    @given(st.lists(st.lists(st.floats(-30, 90), min_size=6, max_size=12), min_size=1, max_size=3))
    def test_as_pycocotools_draws_them(self, polygons: list[list[float]]) -> None:
        even = [polygon[: len(polygon) // 2 * 2] for polygon in polygons]
        expected = pycocotools_mask.decode(pycocotools_mask.merge(pycocotools_mask.frPyObjects(even, *SIZE)))
        assert np.array_equal(RunLengths.from_polygons(even, SIZE).mask(), expected)

    def test_no_polygon_is_an_empty_mask(self) -> None:
        assert RunLengths.from_coco([], SIZE).area == 0

    def test_a_long_outline_of_few_vertices_is_an_error(self) -> None:
        far = MAX_COORDINATE - 1
        zigzag = [value for i in range(3000) for value in ((0, i % 7) if i % 2 else (far, i % 11))]
        with pytest.raises(SaywhereError, match=f"longer than {MAX_OUTLINE:,} pixels"):
            RunLengths.from_polygons([zigzag], SIZE)

    def test_many_short_polygons_are_counted_together(self) -> None:
        with pytest.raises(SaywhereError, match="longer than"):
            RunLengths.from_polygons([SQUARE] * (MAX_OUTLINE // 50), SIZE)


@pytest.mark.parametrize(
    ("segmentation", "words"),
    [
        (None, "neither"),
        ("x", "neither"),
        (7, "neither"),
        ({"size": [40, 60]}, "neither"),
        ({"size": [40, 60], "counts": 5}, "neither"),
        ({"counts": "0"}, "size None"),
        ({"size": [60, 40], "counts": "0"}, r"size \[60, 40\]; expected \[40, 60\]"),
        ({"size": "4060", "counts": "0"}, "size 4060"),
        ({"size": [40, 60], "counts": "0"}, "cover 0 pixels"),
        ({"size": [40, 60], "counts": ""}, "cover 0 pixels"),
        ({"size": [40, 60], "counts": "\x01"}, "damaged"),
        ({"size": [40, 60], "counts": "é"}, "damaged"),
        ({"size": [40, 60], "counts": "\ud800"}, "damaged"),
        ({"size": [40, 60], "counts": "P\0"}, "damaged"),
        ({"size": [40, 60], "counts": "ooo"}, "damaged"),
        ({"size": [40, 60], "counts": "o" * 30 + "0"}, "damaged"),
        ({"size": [40, 60], "counts": [10, 20, 30]}, "cover 60 pixels"),
        ({"size": [40, 60], "counts": [5, -7]}, "none negative"),
        ({"size": [40, 60], "counts": [2400.0]}, "whole numbers"),
        ({"size": [40, 60], "counts": ["2400"]}, "whole numbers"),
        ({"size": [40, 60], "counts": [10**30]}, "cover"),
        ([[1, 2, 3]], "three points"),
        ([[1, 2, 3, 4, 5, 6, 7]], "three points"),
        ([SQUARE, "square"], "three points"),
        ([{"x": 1}], "three points"),
        ([7], "three points"),
        ([[[1, 2], [3, 4], [5, 6]]], "three points"),
        ([[0, 0, float("nan"), 0, 5, 5]], "three points"),
        ([[0, 0, float("inf"), 0, 5, 5]], "three points"),
        ([[0, 0, 1e12, 0, 5, 5]], "three points"),
        ([[0, 0, 10**400, 0, 5, 5]], "three points"),
        ([[0, 0, None, 0, 5, 5]], "three points"),
    ],
)
def test_damaged_segmentations_are_errors(segmentation: Any, words: str) -> None:
    with pytest.raises(SaywhereError, match=words) as caught:
        RunLengths.from_coco(segmentation, SIZE)
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=20))
def test_any_bytes_are_run_lengths_of_the_size_or_an_error(counts: bytes) -> None:
    try:
        region = RunLengths.from_counts(counts, ImageSize(7, 9))
    except SaywhereError:
        return
    assert RunLengths.from_mask(region.mask()).area == region.area


def test_containment_is_the_share_of_each_mask_in_the_others() -> None:
    large, overlapping, separate = (np.zeros(SIZE, bool) for _ in range(3))
    large[5:25, 5:25], overlapping[10:20, 20:30], separate[30:, 40:] = True, True, True
    shares = containment([RunLengths.from_mask(mask) for mask in (large, overlapping, separate)])
    assert shares.tolist() == [[1.0, 50 / 400, 0.0], [0.5, 1.0, 0.0], [0.0, 0.0, 1.0]]
    assert containment([]).shape == (0, 0)
