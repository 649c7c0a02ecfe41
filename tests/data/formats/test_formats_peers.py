"""Other programs read what is written: pycocotools, torchvision, and where they are installed Ultralytics and LabelMe.

The last two are no part of what this project installs: their tests skip without them.
"""

from __future__ import annotations

import contextlib
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from conftest import disc
from saywhere.core.geometry import ImageSize
from saywhere.core.metrics import iou
from saywhere.data import formats
from saywhere.data.formats import AnnotatedImage, ObjectAnnotation, WriteOptions

RING = disc(90, 120, 40, 40, 30) & ~disc(90, 120, 40, 40, 12)
TWO = disc(90, 120, 95, 20, 15) | disc(90, 120, 95, 70, 12)
DOT = np.zeros((90, 120), bool)
DOT[89, 119] = True


@pytest.fixture
def photos(tmp_path: Path) -> list[AnnotatedImage]:
    """Two photographs, one in a folder: a ring, an object of two pieces and one of a single pixel; and nothing."""
    objects = (
        ObjectAnnotation.from_mask(RING, "ring"),
        ObjectAnnotation.from_mask(TWO, "two"),
        ObjectAnnotation.from_mask(DOT, "ring"),
    )
    placed = []
    for file, some in (("in/a.jpg", objects), ("b.jpg", ())):
        path = tmp_path / "photos" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (120, 90), (90, 60, 30)).save(path)
        placed.append(AnnotatedImage(file, ImageSize(90, 120), some, path))
    return placed


@pytest.fixture
def pillow_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both peers change Pillow for the whole process when they are imported; other tests are not to see that."""
    monkeypatch.setattr(Image, "open", Image.open)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)


@pytest.mark.parametrize("polygons", [False, True])
def test_pycocotools(photos: list[AnnotatedImage], tmp_path: Path, polygons: bool) -> None:
    from pycocotools.coco import COCO

    formats.write(photos, tmp_path / "out.json", "coco", WriteOptions(polygons))
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO(tmp_path / "out.json")
    assert [image["file_name"] for image in coco.loadImgs([1, 2])] == ["in/a.jpg", "b.jpg"]
    found = coco.loadAnns(coco.getAnnIds(imgIds=[1]))
    for annotation, each in zip(found, photos[0].objects, strict=True):
        mask = coco.annToMask(annotation) > 0
        assert np.array_equal(mask, each.mask)
        assert annotation["area"] == each.mask.sum()
        x, y, w, h = map(int, annotation["bbox"])
        assert mask[y : y + h, x : x + w].sum() == mask.sum()
        assert coco.loadCats(annotation["category_id"])[0]["name"] == each.label
        assert isinstance(annotation["segmentation"], list) == polygons


def test_torchvision(photos: list[AnnotatedImage], tmp_path: Path) -> None:
    from torchvision.datasets import VOCDetection, VOCSegmentation

    formats.write(photos, tmp_path / "VOCdevkit" / "VOC2012", "voc", WriteOptions(labels=["ring", "two"]))
    maps = VOCSegmentation(tmp_path, "2012", "trainval")
    assert len(maps) == 2
    image, target = maps[0]
    assert image.size == target.size == (120, 90)
    assert np.array_equal(np.asarray(target), 1 * (RING | DOT) + 2 * TWO)
    # VOC's own colours: dark red, dark green, and the cream of what is void.
    colours = np.array(target.getpalette()).reshape(-1, 3)[[0, 1, 2, 255]]
    assert colours.tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [224, 224, 192]]
    numbers = np.asarray(Image.open(maps.masks[0].replace("SegmentationClass", "SegmentationObject")))
    assert [np.unique(numbers[each.mask]).tolist() for each in photos[0].objects] == [[1], [2], [3]]
    assert not np.asarray(maps[1][1]).any()
    _, told = VOCDetection(tmp_path, "2012", "trainval")[0]
    entry = told["annotation"]
    assert (entry["filename"], entry["size"]["width"], entry["segmented"]) == ("in/a.jpg", "120", "1")
    assert [each["name"] for each in entry["object"]] == ["ring", "two", "ring"]
    assert entry["object"][0]["bndbox"] == {"xmin": "11", "ymin": "11", "xmax": "71", "ymax": "71"}
    assert entry["object"][2]["bndbox"] == {"xmin": "120", "ymin": "90", "xmax": "120", "ymax": "90"}


def test_own_reader_of_voc(photos: list[AnnotatedImage], tmp_path: Path) -> None:
    from saywhere.data.datasets.pascal import read_voc

    cat = AnnotatedImage("a.jpg", ImageSize(90, 120), (ObjectAnnotation.from_mask(RING, "cat"),), photos[0].path)
    formats.write([cat], tmp_path / "voc", "voc", WriteOptions(labels=["cat"]))
    (sample,) = read_voc(tmp_path / "voc", "trainval")
    assert np.array_equal(sample.target(), RING)
    assert sample.label == "cat"
    assert sample.image_path.exists()


@pytest.mark.usefixtures("pillow_as_it_was")
def test_ultralytics(photos: list[AnnotatedImage], tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="Ultralytics is not installed")
    from ultralytics.data.dataset import YOLODataset
    from ultralytics.data.utils import check_det_dataset, polygon2mask

    (note,) = formats.write(photos, tmp_path / "yolo", "yolo").notes
    data = check_det_dataset(tmp_path / "yolo" / "data.yaml")
    assert data["names"] == {0: "ring", 1: "two"}
    dataset = YOLODataset(img_path=data["train"], data=data, task="segment", augment=False)
    entries = {Path(label["im_file"]).name: label for label in dataset.labels}
    assert not len(entries["b.jpg"]["cls"])
    found = entries["a.jpg"]
    # Ultralytics puts the rows of a file in an order of its own.
    assert sorted(found["cls"].ravel().tolist()) == [0, 0, 1]
    for kind, segment in zip(found["cls"].ravel(), found["segments"], strict=True):
        mask = polygon2mask((90, 120), [(segment * (120, 90)).ravel()]) > 0
        best = max(photos[0].objects, key=lambda each: iou(each.mask, mask))
        assert best.label == ("ring", "two")[int(kind)]
        # A thin cut joins the two pieces, and its note says how many pixels that takes; nothing else is altered.
        differ = int((best.mask ^ mask).sum())
        assert f"object 'two': its polygon differs from its mask in {differ} of" in note or not differ
        assert (differ > 0) == (best.label == "two")


@pytest.mark.usefixtures("pillow_as_it_was")
def test_labelme(photos: list[AnnotatedImage], tmp_path: Path) -> None:
    pytest.importorskip("labelme", reason="LabelMe is not installed")
    from labelme import LabelFile
    from labelme.utils import shape_to_mask, shapes_to_label

    formats.write(photos, tmp_path / "masks", "labelme")
    file = LabelFile(str(tmp_path / "masks" / "in" / "a.json"))
    assert file.image_path == "a.jpg"
    for shape, each in zip(file.shapes, photos[0].objects, strict=True):
        assert (shape["label"], shape["shape_type"]) == (each.label, "mask")
        _, drawn = shapes_to_label((90, 120), [shape], {each.class_name: 1})
        assert np.array_equal(drawn > 0, each.mask)
    assert not LabelFile(str(tmp_path / "masks" / "b.json")).shapes
    formats.write(photos, tmp_path / "polygons", "labelme", WriteOptions(polygons=True))
    shapes = LabelFile(str(tmp_path / "polygons" / "in" / "a.json")).shapes
    assert [shape["group_id"] for shape in shapes] == [None, 2, 2, None]
    found = [each.mask for each in formats.read(tmp_path / "polygons").images[1]().objects]
    masks = [shape_to_mask((90, 120), shape["points"], "polygon") for shape in shapes]
    for mask, own in zip((masks[0], masks[1] | masks[2], masks[3]), found, strict=True):
        assert np.array_equal(mask, own)


def test_outlines_that_opencv_fills(photos: list[AnnotatedImage], tmp_path: Path) -> None:
    """What Ultralytics does with a line of a label file, for when it is not installed."""
    formats.write(photos, tmp_path / "yolo", "yolo")
    lines = (tmp_path / "yolo" / "labels" / "in" / "a.txt").read_text().splitlines()
    for line, each in zip(lines, photos[0].objects, strict=True):
        points = (np.array(line.split()[1:], np.float32).reshape(-1, 2) * (120, 90)).astype(np.int32)
        mask = cv2.fillPoly(np.zeros((90, 120), np.uint8), [points], 1) > 0
        assert iou(mask, each.mask) > (0.95 if each.label == "two" else 0.999)
