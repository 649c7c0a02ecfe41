from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from conftest import polygon_of
from saywhere import SaywhereError
from saywhere.data.datasets import load_dataset, locate, read_coco, read_grabcut
from saywhere.data.datasets.folders import BERKELEY, PACKAGED_PHRASES, read_folders


def square() -> np.ndarray:
    mask = np.zeros((20, 30), bool)
    mask[5:15, 10:25] = True
    return mask


def as_json(folder: Path, segmentation: object, **more: object) -> Path:
    annotation = {"id": 7, "image_id": 1, "category_id": 3, "iscrowd": 0, "segmentation": segmentation, **more}
    data = {
        "images": [{"id": 1, "file_name": "pets/a.png", "height": 20, "width": 30}],
        "annotations": [annotation],
        "categories": [{"id": 3, "name": "cat"}],
    }
    path = folder / "data.json"
    path.write_text(json.dumps(data))
    return path


def compressed() -> dict[str, object]:
    rle = coco_mask.encode(np.asfortranarray(square(), dtype=np.uint8))
    return {"size": rle["size"], "counts": rle["counts"].decode()}


def uncompressed() -> dict[str, object]:
    flat = square().flatten(order="F")
    edges = np.flatnonzero(np.diff(flat)) + 1
    return {"size": [20, 30], "counts": np.diff([0, *edges, flat.size]).tolist()}


@pytest.mark.parametrize("segmentation", [polygon_of(10, 5, 15, 10), compressed(), uncompressed()])
def test_coco_segmentations_of_every_form(tmp_path: Path, segmentation: object) -> None:
    (sample,) = read_coco(as_json(tmp_path, segmentation))
    assert np.array_equal(sample.target(), square())
    assert sample.ignore() is None
    assert (sample.name, sample.label, sample.group) == ("7", "cat", "pets")
    assert sample.image_path == tmp_path / "pets" / "a.png"


def test_an_ignore_region_is_read(tmp_path: Path) -> None:
    (sample,) = read_coco(as_json(tmp_path, polygon_of(0, 0, 5, 5), ignore_region=compressed()))
    ignore = sample.ignore()
    assert ignore is not None
    assert np.array_equal(ignore, square())


def test_crowds_are_left_out(tmp_path: Path) -> None:
    assert read_coco(as_json(tmp_path, compressed(), iscrowd=1)) == []


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"images": []}', '{"images": [], "annotations": [{}], "categories": []}']
)
def test_what_is_not_coco_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    with pytest.raises(SaywhereError, match=r"bad\.json"):
        read_coco(path)


def test_grabcut_in_its_layout(tmp_path: Path) -> None:
    for folder in ("data_GT", "boundary_GT"):
        (tmp_path / folder).mkdir()
    Image.new("RGB", (30, 20)).save(tmp_path / "data_GT" / "llama.jpg")
    values = np.where(square(), 255, 0).astype(np.uint8)
    values[5:15, 10] = 128
    Image.fromarray(values).save(tmp_path / "boundary_GT" / "llama.png")
    (tmp_path / "phrases.json").write_text('{"llama": "brown llama"}')
    (sample,) = read_grabcut(tmp_path)
    assert sample.phrase == "brown llama"
    assert sample.target().sum() == 140
    ignore = sample.ignore()
    assert ignore is not None
    assert ignore.sum() == 10
    (tmp_path / "boundary_GT" / "llama.png").unlink()
    with pytest.raises(SaywhereError, match="unpaired: llama"):
        read_grabcut(tmp_path)


def test_grabcut_has_phrases_without_a_file_of_its_own(tmp_path: Path) -> None:
    """The published archive has none: those of the package are used, unless the folder has others."""
    names = ["llama", "124084", "something-new"]
    for folder in ("data_GT", "boundary_GT"):
        (tmp_path / folder).mkdir()
        for name in names:
            Image.new("L", (30, 20), 255).save(tmp_path / folder / f"{name}.png")
    phrases = {sample.name: sample.phrase for sample in read_grabcut(tmp_path)}
    packaged = json.loads((PACKAGED_PHRASES / "grabcut.json").read_bytes())
    assert phrases == {"llama": packaged["llama"], "124084": "two red flowers", "something-new": None}
    assert len(packaged) == 50
    assert all(isinstance(phrase, str) and phrase == phrase.strip() != "" for phrase in packaged.values())
    (tmp_path / "phrases.json").write_text('{"llama": "my own words"}')
    phrases = {sample.name: sample.phrase for sample in read_grabcut(tmp_path)}
    assert phrases == {"llama": "my own words", "124084": None, "something-new": None}
    berkeley = tmp_path / "berkeley"
    for folder in ("images", "masks"):
        (berkeley / folder).mkdir(parents=True)
        Image.new("L", (30, 20), 255).save(berkeley / folder / "124084.png")
    assert [sample.phrase for sample in read_folders(berkeley, BERKELEY)] == [None]


def test_the_phrases_of_the_package_are_those_of_the_data() -> None:
    data = os.environ.get("SAYWHERE_DATA")
    path = Path(data or "none", "grabcut", "phrases.json")
    if not path.exists():
        pytest.skip("no GrabCut with phrases here")
    assert json.loads(path.read_bytes()) == json.loads((PACKAGED_PHRASES / "grabcut.json").read_bytes())


def test_data_is_found_by_name_under_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAYWHERE_DATA", str(tmp_path))
    (tmp_path / "mine").mkdir()
    assert locate("mine") == tmp_path / "mine"
    with pytest.raises(SaywhereError, match="grabcut"):
        load_dataset("grabcut")
    with pytest.raises(SaywhereError, match=r"not known; give a COCO JSON file, tar files or one of grabcut"):
        load_dataset("grapcut")
    monkeypatch.delenv("SAYWHERE_DATA")
    with pytest.raises(SaywhereError, match="SAYWHERE_DATA"):
        load_dataset("grabcut")
