"""Masks as regions of Label Studio, read back by the reader of its files."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from conftest import disc
from saywhere.core.geometry import ImageSize
from saywhere.data.formats.annotated_image import ObjectAnnotation
from saywhere.data.formats.label_studio_regions import brush_rle, polygon_points, read_region
from saywhere.errors import SaywhereError


def as_brush(rle: object) -> dict[str, object]:
    return {"type": "brushlabels", "value": {"format": "rle", "rle": rle, "brushlabels": ["cat"]}}


def as_polygon(points: object) -> dict[str, object]:
    return {"type": "polygonlabels", "value": {"points": points, "polygonlabels": ["cat"]}}


def read(result: dict[str, object], mask: np.ndarray) -> np.ndarray:
    region = read_region(result, ImageSize(*mask.shape))
    assert isinstance(region, ObjectAnnotation)
    assert region.label == "cat"
    return region.region.mask()


@given(arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, max_side=40)))
def test_any_mask_comes_back_from_a_brush(mask: np.ndarray) -> None:
    assert np.array_equal(read(as_brush(brush_rle(mask)), mask), mask)


@pytest.mark.parametrize("value", [False, True])
def test_runs_longer_than_a_length_can_say(value: bool) -> None:
    mask = np.full((200, 300), value)
    assert np.array_equal(read(as_brush(brush_rle(mask)), mask), mask)


@given(st.integers(3, 50), st.integers(3, 50), st.integers(1, 30))
def test_a_disc_comes_back_from_its_polygon(x: int, y: int, radius: int) -> None:
    mask = disc(60, 70, x, y, radius)
    assert np.array_equal(read(as_polygon(polygon_points(mask)), mask), mask)


def test_pieces_and_holes_are_one_polygon() -> None:
    mask = disc(80, 160, 40, 40, 30) | disc(80, 160, 120, 40, 30)
    mask &= ~disc(80, 160, 40, 40, 10)
    found = read(as_polygon(polygon_points(mask)), mask)
    assert (found ^ mask).sum() <= 100, "but for the cuts"


def test_a_tolerance_takes_vertices_away() -> None:
    mask = disc(200, 200, 100, 100, 80)
    exact, simple = polygon_points(mask), polygon_points(mask, 1.0)
    assert len(simple) < len(exact) / 4
    found = read(as_polygon(simple), mask)
    assert (found & mask).sum() / (found | mask).sum() > 0.97


def test_an_empty_mask_has_no_polygon() -> None:
    assert polygon_points(np.zeros((4, 5), bool)) == []


def test_other_kinds_are_no_region() -> None:
    assert read_region({"type": "choices", "value": {"choices": ["cat"]}}, ImageSize(4, 4)) is None
    assert read_region({"type": "brushlabels"}, ImageSize(4, 4)) is None


def test_a_brush_of_another_size_is_refused() -> None:
    with pytest.raises(SaywhereError, match="rle of 80 values; expected 64"):
        read_region(as_brush(brush_rle(np.ones((4, 5), bool))), ImageSize(4, 4))
