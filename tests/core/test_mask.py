"""What a mask offers beside its pixels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as pycocotools

from saywhere import Click, Mask, Prompt, SaywhereError
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.core.polygons import fill_polygons

SIZE = ImageSize(60, 80)


def mask_of(pixels: np.ndarray) -> Mask:
    """A mask whose network saw a crop of twice the scale, at (20, 10) to (60, 50) of an image of 80x60."""
    logits = np.where(np.kron(pixels, np.ones((2, 2))), 9.0, -9.0).astype(np.float32)
    return Mask(Crop(20, 10, 60, 50, 80, 80), logits, SIZE)


@pytest.fixture
def ring() -> Mask:
    """A square with a hole, and a dot."""
    pixels = np.zeros((40, 40), np.bool_)
    pixels[5:25, 8:30] = True
    pixels[10:15, 12:20] = False
    pixels[34:36, 34:36] = True
    return mask_of(pixels)


@pytest.fixture
def empty() -> Mask:
    return mask_of(np.zeros((40, 40), np.bool_))


def test_area_and_box_are_those_of_the_pixels(ring: Mask, empty: Mask) -> None:
    ys, xs = np.nonzero(ring.array)
    assert ring.area == len(xs)
    assert ring.bbox == (xs.min(), ys.min(), xs.max() - xs.min() + 1, ys.max() - ys.min() + 1)
    assert (empty.area, empty.bbox, empty.polygons()) == (0, (0, 0, 0, 0), [])


def test_pycocotools_reads_the_run_lengths(ring: Mask, empty: Mask) -> None:
    for mask in (ring, empty):
        assert mask.rle["size"] == [60, 80]
        assert np.array_equal(pycocotools.decode(mask.rle), mask.array)


def test_polygons_make_the_mask_again(ring: Mask) -> None:
    polygons = ring.polygons()
    assert len(polygons) == 2
    flat = [polygon.ravel().tolist() for polygon in polygons]
    runs = pycocotools.merge(pycocotools.frPyObjects(flat, *SIZE))
    assert np.array_equal(pycocotools.decode(runs), ring.array)
    simpler = ring.polygons(tolerance=2.0)
    assert sum(map(len, simpler)) < sum(map(len, polygons))
    assert np.count_nonzero(fill_polygons(simpler, SIZE) != ring.array) < 0.15 * ring.area


@pytest.mark.parametrize("wrong", [-1.0, float("nan"), "2", None])
def test_other_tolerances_are_refused(ring: Mask, wrong: object) -> None:
    with pytest.raises(SaywhereError, match=r"tolerance .*give 0 or more pixels"):
        ring.polygons(wrong)  # type: ignore[arg-type]


def test_a_mask_is_saved_whole(ring: Mask, tmp_path: Path) -> None:
    path = ring.save(tmp_path / "new" / "mask.png")
    with Image.open(path) as image:
        assert image.mode == "L"
        assert np.array_equal(np.asarray(image), ring.array * np.uint8(255))
    with pytest.raises(SaywhereError, match=r"mask\.xyz.*use \.png"):
        ring.save(str(tmp_path / "mask.xyz"))
    assert [file.name for file in tmp_path.rglob("*.*")] == ["mask.png"]


def test_an_overlay_shows_the_mask_and_its_prompt(ring: Mask) -> None:
    image = np.full((*SIZE, 3), 120, np.uint8)
    drawn = ring.overlay(image)
    assert drawn.shape == image.shape
    assert drawn[30, 45].sum() > drawn[58, 2].sum()  # darker outside
    assert (image == 120).all()
    clicked = ring.overlay(Image.fromarray(image), Prompt((Click(30, 20),)))
    assert not np.array_equal(clicked, drawn)
    with pytest.raises(SaywhereError, match="80x60"):
        ring.overlay(image[:, :50])
