"""The datasets known by name: where they lie, where they come from, under which terms, and how large they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from saywhere.data.datasets import folders
from saywhere.data.datasets.coco import read_coco, read_coco_folder
from saywhere.data.datasets.folders import read_folders, read_grabcut, read_instances, read_part
from saywhere.data.datasets.leeds import read_leeds
from saywhere.data.datasets.openimages import read_open_images
from saywhere.data.datasets.pascal import read_sbd, read_voc, sbd_names, voc_names
from saywhere.data.datasets.refer import read_refer
from saywhere.data.datasets.sample import Sample


@dataclass(frozen=True)
class Dataset:
    """A dataset that is known by name.

    Attributes:
        name: of the dataset, and after a colon of the split.
        places: where it is looked for under SAYWHERE_DATA; the first that is there counts.
        read: takes that place.
        url: the page that offers it, or how it was made.
        licence: its terms.
        images: the published number of images, None where it is not known for certain.
        objects: the published number of objects, None where it is not known for certain.
        image_names: takes that place and lists the names of the images, where that needs no masks; else None.
    """

    name: str
    places: tuple[str, ...]
    read: Callable[[Path], Sequence[Sample]]
    url: str
    licence: str
    images: int | None = None
    objects: int | None = None
    image_names: Callable[[Path], list[str]] | None = None


RELEASES = "https://github.com/saic-vul/fbrs_interactive_segmentation/releases/tag/v1.0"
SEE_PAGE = "see its page"
FLICKR = "photographs under Flickr's terms of use"
COCO_TERMS = f"annotations CC BY 4.0, {FLICKR}"


def _click_benchmarks() -> list[Dataset]:
    """The benchmarks of interactive segmentation, as the RITM and f-BRS projects lay them out."""
    return [
        Dataset("grabcut", ("grabcut", "GrabCut"), read_grabcut, RELEASES, "research", 50, 50),
        Dataset(
            "berkeley", ("berkeley", "Berkeley"), partial(read_folders, layout=folders.BERKELEY),
            RELEASES, "research and education, not commercial (BSDS)", 96, 100,
        ),
        Dataset(
            "davis", ("davis", "DAVIS"), partial(read_folders, layout=folders.DAVIS),
            f"{RELEASES}, from https://davischallenge.org", SEE_PAGE, 345, 345,
        ),
        Dataset(
            "coco-mval", ("coco-mval", "COCO_MVal"), partial(read_folders, layout=folders.COCO_MVAL),
            f"{RELEASES}, from https://cocodataset.org", COCO_TERMS, 800, 800,
        ),
    ]  # fmt: skip


def _pascal() -> list[Dataset]:
    sbd, voc = (
        ("sbd/dataset", "sbd", "SBD/dataset", "SBD", "benchmark_RELEASE/dataset"),
        ("VOCdevkit/VOC2012", "voc2012"),
    )
    sbd_page = "http://home.bharathh.info/pubs/codes/SBD/download.html"
    voc_page = "http://host.robots.ox.ac.uk/pascal/VOC/voc2012/"
    counts = {"sbd:train": (8498, 20172), "sbd:val": (2857, 6671), "voc2012:train": (1464, None),
              "voc2012:val": (1449, 3427)}  # fmt: skip
    datasets = []
    for name, sizes in counts.items():
        split, is_sbd = name.partition(":")[2], name.startswith("sbd")
        read = partial(read_sbd if is_sbd else read_voc, split=split)
        names = partial(sbd_names if is_sbd else voc_names, split=split)
        places, page = (sbd, sbd_page) if is_sbd else (voc, voc_page)
        datasets.append(Dataset(name, places, read, page, FLICKR, *sizes, image_names=names))
    return datasets


def _coco_json() -> list[Dataset]:
    coco_page, lvis_page = "https://cocodataset.org/#download", "https://www.lvisdataset.org/dataset"
    fashion_page, fashion_terms = "https://fashionpedia.github.io/home/", "annotations CC BY 4.0, photographs differ"
    coco, lvis, fashion = ("coco", "COCO"), ("lvis", "coco", "LVIS", "COCO"), ("fashionpedia",)
    rows: list[tuple[str, tuple[str, ...], str, tuple[str, ...], str, str, int, int | None]] = [
        ("coco:train2017", coco, "instances_train2017", ("train2017",), coco_page, COCO_TERMS, 118287, None),
        ("coco:val2017", coco, "instances_val2017", ("val2017",), coco_page, COCO_TERMS, 5000, 36335),
        # LVIS takes its images from both of COCO's folders, so its file names begin with the folder.
        ("lvis:train", lvis, "lvis_v1_train", (".",), lvis_page, COCO_TERMS, 100170, 1270141),
        ("lvis:val", lvis, "lvis_v1_val", (".",), lvis_page, COCO_TERMS, 19809, 244707),
        ("fashionpedia:train", fashion, "instances_attributes_train2020", ("images/train", "train"),
         fashion_page, fashion_terms, 45623, None),
        ("fashionpedia:val", fashion, "instances_attributes_val2020", ("images/test", "test"),
         fashion_page, fashion_terms, 1158, None),
    ]  # fmt: skip
    return [
        Dataset(
            name, tuple(f"{root}/annotations/{file}.json" for root in roots), partial(read_coco_folder, folders=below),
            page, terms, images, objects,
        )
        for name, roots, file, below, page, terms, images, objects in rows
    ]  # fmt: skip


def _referring() -> list[Dataset]:
    """Each split: references, of one object and its phrases each, and their images."""
    page, terms = "https://github.com/lichengunc/refer", f"phrases: {SEE_PAGE}; COCO's {COCO_TERMS}"
    splits: dict[tuple[str, str, str], dict[str, tuple[int | None, int]]] = {
        ("refcoco", "refcoco", "unc"): {
            "train": (16994, 42404), "val": (1500, 3811), "testA": (750, 1975), "testB": (750, 1810)},
        ("refcoco+", "refcoco+", "unc"): {
            "train": (16992, 42278), "val": (1500, 3805), "testA": (750, 1975), "testB": (750, 1798)},
        ("refcocog", "refcocog", "umd"): {
            "train": (21899, 42226), "val": (1300, 2573), "test": (2600, 5023)},
        ("refcocog-google", "refcocog", "google"): {"train": (None, 44822), "val": (None, 5000)},
    }  # fmt: skip
    return [
        Dataset(f"{name}:{split}", tuple(f"{root}{folder}/refs({by}).p" for root in ("refer/data/", "refer/", "")),
                partial(read_refer, split=split), page, terms, *counts)
        for (name, folder, by), sizes in splits.items()
        for split, counts in sizes.items()
    ]  # fmt: skip


def _open_images() -> list[Dataset]:
    page = "https://storage.googleapis.com/openimages/web/download_v7.html"
    terms = "annotations CC BY 4.0, photographs listed as CC BY 2.0"
    counts = {"train": (944037, 2686666), "validation": (13524, 24730), "test": (40386, 74102)}
    roots = "open-images", "OpenImages"
    places = {
        split: tuple(f"{root}/{split}/{split}-annotations-object-segmentation.csv" for root in roots)
        for split in counts
    }
    return [
        Dataset(f"open-images:{split}", places[split], read_open_images, page, terms, *counts[split])
        for split in counts
    ]


def read_folders_or_coco(folder: Path, layout: folders.FolderLayout) -> Sequence[Sample]:
    """The objects of a dataset of images and masks; from ``instances.json`` (COCO) where that lies in the folder."""
    instances = folder / "instances.json"
    return read_coco(instances) if instances.is_file() else read_folders(folder, layout)


def _salient() -> list[Dataset]:
    msra, msra_page = ("msra10k", "MSRA10K_Imgs_GT"), "https://mmcheng.net/msra10k/"
    # 8,000, 1,000 and 1,000 images, as Multi-Stage Fusion has it (section 4.2), which does not say which.
    parts = {"train": (0.0, 0.8), "val": (0.8, 0.9), "test": (0.9, 1.0)}
    return [
        Dataset("msra10k", msra, partial(read_folders, layout=folders.MSRA10K), msra_page, SEE_PAGE, 10000, 10000),
        *(
            Dataset(f"msra10k:{name}", msra, partial(read_part, layout=folders.MSRA10K, bounds=bounds), msra_page,
                    SEE_PAGE, round(10000 * (bounds[1] - bounds[0])), round(10000 * (bounds[1] - bounds[0])))
            for name, bounds in parts.items()
        ),
        Dataset("ecssd", ("ecssd", "ECSSD"), partial(read_folders_or_coco, layout=folders.ECSSD),
                "http://www.cse.cuhk.edu.hk/leojia/projects/hsaliency/dataset.html", SEE_PAGE, 1000, 1000),
        Dataset("cosod3k", ("cosod3k", "CoSOD3k"), partial(read_instances, layout=folders.COSOD3K),
                "https://github.com/DengPingFan/CoSOD3K", SEE_PAGE, 3316, 4874),
        Dataset("coca", ("coca", "CoCA"), partial(read_instances, layout=folders.COCA),
                "http://zhaozhang.net/coca.html", SEE_PAGE, 1295, 2143),
    ]  # fmt: skip


def _project() -> list[Dataset]:
    """Further datasets on which this project trains and measures."""
    collected = "put together for this project from 33 public sets", "differ by photograph: see licenses in the JSON"
    duts = "http://saliencydetection.net/duts/ (as COCO JSON, split for this project)", SEE_PAGE
    return [
        Dataset("leeds-butterfly", ("leeds-butterfly/instances.json", "leeds-butterfly", "leedsbutterfly"), read_leeds,
                "http://www.josiahwang.com/dataset/leedsbutterfly/", "learning and research", 832, 832),
        Dataset("photos-7k:train", ("photos-7k/train.json",), read_coco, *collected, 6571, 22626),
        Dataset("photos-7k:val", ("photos-7k/val.json",), read_coco, *collected, 594, 1987),
        Dataset("photos-hires:val", ("photos-hires/val.json",), read_coco, *collected, 68, 136),
        Dataset("duts:train", ("duts/train.json",), read_coco, *duts, 12671, 14332),
        Dataset("duts:val", ("duts/val.json",), read_coco, *duts, 282, 345),
    ]  # fmt: skip


DATASETS: Final[Mapping[str, Dataset]] = {
    dataset.name: dataset
    for family in (_click_benchmarks(), _project(), _pascal(), _coco_json(), _referring(), _open_images(), _salient())
    for dataset in family
}
