"""A toy tree for every dataset of the catalogue, in the layout that its makers chose.

Each has two objects, BOX and OTHER, of images of SIZE. A new dataset needs an entry in :data:`TREES`.
"""

from __future__ import annotations

import csv
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.io import savemat
from trees import BOX, OTHER, SIZE, coco_json, save_image, save_mask

from conftest import polygon_of
from saywhere.data.datasets import DATASETS

Tree = Callable[[Path, str], None]
BOTH = (("a_1", BOX), ("b_2", OTHER))


def folders(images: str, masks: str) -> Tree:
    """Images in one folder, masks of the same names in another; ``{}`` in both stands for a group's name."""

    def build(place: Path, name: str) -> None:
        for stem, mask in BOTH:
            save_image(place / images.format(stem[0]) / f"{stem}.jpg")
            save_mask(place / masks.format(stem[0]) / f"{stem}.png", np.where(mask, 255, 0))

    return build


def leeds(place: Path, name: str) -> None:
    for stem, mask in (("0010001", BOX), ("0100002", OTHER)):
        save_image(place / f"images/{stem}.png")
        save_mask(place / f"segmentations/{stem}_seg0.png", np.where(mask, 255, 0))


def voc(place: Path, name: str) -> None:
    for stem, mask in BOTH:
        save_image(place / f"JPEGImages/{stem}.jpg")
        for kind, number in (("Object", 1), ("Class", 8)):
            save_mask(place / f"Segmentation{kind}/{stem}.png", mask * number, palette=True)
    names = place / f"ImageSets/Segmentation/{name.partition(':')[2]}.txt"
    names.parent.mkdir(parents=True)
    names.write_text("a_1\nb_2\n")


def sbd(place: Path, name: str) -> None:
    (place / "inst").mkdir(parents=True)
    for stem, mask in BOTH:
        save_image(place / f"img/{stem}.jpg")
        instances = {"Segmentation": mask.astype(np.uint8), "Categories": np.array([[8]], np.uint8)}
        savemat(place / f"inst/{stem}.mat", {"GTinst": instances})
    (place / f"{name.partition(':')[2]}.txt").write_text("a_1\nb_2\n")


def coco(images: str) -> Tree:
    """A COCO JSON file; its images lie in a folder relative to it."""

    def build(place: Path, name: str) -> None:
        save_image(place.parent / images / "a.jpg")
        coco_json(place, {"id": 1, "file_name": "a.jpg"}, {"id": 8, "segmentation": polygon_of(0, 0, 6, 4)})

    return build


def lvis(place: Path, name: str) -> None:
    save_image(place.parents[1] / "train2017/9.jpg")
    image = {"id": 9, "coco_url": "http://images.cocodataset.org/train2017/9.jpg"}
    coco_json(place, image, {"id": 8, "segmentation": polygon_of(0, 0, 6, 4)})


def refer(place: Path, name: str) -> None:
    save_image(place.parents[1] / "images/mscoco/images/train2014/9.jpg")
    other = {"id": 8, "segmentation": polygon_of(0, 0, 6, 4)}
    coco_json(place.with_name("instances.json"), {"id": 9, "file_name": "9.jpg"}, other)
    split = name.partition(":")[2]
    references = [
        {"ref_id": 100 + i, "ann_id": i, "image_id": 9, "split": split, "sentences": [{"sent": "cat"}]} for i in (7, 8)
    ]
    place.write_bytes(pickle.dumps(references, protocol=0))


def open_images(place: Path, name: str) -> None:
    rows = [["MaskPath", "ImageID", "LabelName"]]
    for stem, mask in BOTH:
        save_image(place.parent / f"images/{stem}.jpg")
        save_mask(place.parent / f"masks/{stem}.png", np.where(mask, 255, 0))
        rows.append([f"{stem}.png", stem, "/m/1"])
    (place.parents[1] / "class-descriptions-boxable.csv").write_text("/m/1,Cat\n")
    with place.open("w", newline="") as file:
        csv.writer(file).writerows(rows)


def msra_part(place: Path, name: str) -> None:
    """Twenty images, of which two are in the part; or two, of which 80 % are both."""
    train = name == "msra10k:train"
    order = np.random.default_rng(0).permutation(2 if train else 20)
    chosen = sorted(order[{"msra10k:train": slice(0, 2), "msra10k:val": slice(16, 18)}.get(name, slice(18, 20))])
    for number in order.tolist():
        save_image(place / f"Imgs/{number:02}.jpg")
        save_mask(place / f"Imgs/{number:02}.png", np.where(OTHER if number == chosen[1] else BOX, 255, 0))


TREES: dict[str, Tree] = {
    "grabcut": folders("data_GT", "boundary_GT"),
    "berkeley": folders("images", "masks"),
    "davis": folders("img", "gt"),
    "coco-mval": folders("img", "gt"),
    "leeds-butterfly": leeds,
    "photos-7k": coco("."),
    "photos-hires": coco("."),
    "duts": coco("."),
    "sbd": sbd,
    "voc2012": voc,
    "coco:train2017": coco("../train2017"),
    "coco:val2017": coco("../val2017"),
    "lvis": lvis,
    "fashionpedia:train": coco("../images/train"),
    "fashionpedia:val": coco("../images/test"),
    "refcoco": refer,
    "refcoco+": refer,
    "refcocog": refer,
    "refcocog-google": refer,
    "open-images": open_images,
    "msra10k": folders("Imgs", "Imgs"),
    "msra10k:train": msra_part,
    "msra10k:val": msra_part,
    "msra10k:test": msra_part,
    "ecssd": folders("images", "ground_truth_mask"),
    "cosod3k": folders("Image/{}", "GroundTruth/{}"),
    "coca": folders("image/{}", "binary/{}"),
}
"""By the name of a dataset, or of all its splits."""


def tree_of(name: str) -> Tree | None:
    return TREES.get(name, TREES.get(name.partition(":")[0]))


def build(root: Path, name: str, place: str | None = None) -> Path:
    """Build a dataset's tree below the folder of datasets, at one of its places.

    Returns:
        The place.
    """
    tree = tree_of(name)
    assert tree is not None, f"dataset {name}: give it a toy tree in dataset_trees.TREES"
    where = place or DATASETS[name].places[-1 if name == "leeds-butterfly" else 0]
    tree(root / where, name)
    return root / where


__all__ = ["BOX", "OTHER", "SIZE", "TREES", "build", "tree_of"]
