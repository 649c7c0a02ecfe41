"""The data sets that the papers' recipes train on, each as a toy tree in its official layout."""

from __future__ import annotations

import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from dataset_trees import build
from scipy.io import savemat
from trees import BOX, OTHER, coco_json, save_image, save_mask

from conftest import polygon_of

SENTENCES = ("the big cat", "cat on the grass", "animal")


def voc(root: Path, **splits: Sequence[str]) -> None:
    """VOCdevkit/VOC2012 with an object, BOX, in each image."""
    place = root / "VOCdevkit/VOC2012"
    (place / "ImageSets/Segmentation").mkdir(parents=True)
    for split, names in splits.items():
        (place / f"ImageSets/Segmentation/{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            save_image(place / f"JPEGImages/{name}.jpg")
            save_mask(place / f"SegmentationObject/{name}.png", BOX * 1, palette=True)
            save_mask(place / f"SegmentationClass/{name}.png", BOX * 8, palette=True)


def sbd(root: Path, **splits: Sequence[str]) -> None:
    """benchmark_RELEASE/dataset with two objects, BOX and OTHER, in each image."""
    place = root / "benchmark_RELEASE/dataset"
    (place / "inst").mkdir(parents=True)
    for split, names in splits.items():
        (place / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for name in names:
            save_image(place / f"img/{name}.jpg")
            instances = {
                "Segmentation": (BOX + 2 * OTHER).astype(np.uint8),
                "Categories": np.array([[8], [8]], np.uint8),
            }
            savemat(place / f"inst/{name}.mat", {"GTinst": instances})


def refcoco(root: Path) -> None:
    """refer/refcoco with two referred objects of one image; the first has three sentences."""
    save_image(root / "refer/images/mscoco/images/train2014/COCO_train2014_000000000009.jpg")
    image = {"id": 9, "file_name": "COCO_train2014_000000000009.jpg"}
    coco_json(root / "refer/refcoco/instances.json", image, {"id": 8, "segmentation": polygon_of(0, 0, 6, 4)})
    refs = [
        {"ref_id": 1, "ann_id": 7, "image_id": 9, "split": "train", "sentences": [{"sent": s} for s in SENTENCES]},
        {"ref_id": 2, "ann_id": 8, "image_id": 9, "split": "train", "sentences": [{"sent": "left cat"}]},
    ]
    (root / "refer/refcoco/refs(unc).p").write_bytes(pickle.dumps(refs, protocol=0))


def everything(root: Path) -> None:
    """All of them."""
    voc(root, train=["2007_000032", "2007_000039"], val=["2007_000033", "2008_000002"])
    sbd(root, train=["2008_000002", "2008_000003"], val=["2007_000032", "2008_000004"])
    refcoco(root)
    for name in ("coco:train2017", "open-images:train", "msra10k"):
        build(root, name)
