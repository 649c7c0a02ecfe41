"""A folder of images and a folder of masks of the same names: GrabCut, Berkeley, DAVIS and the like."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from saywhere.core.arrays import BoolArray
from saywhere.core.images import IMAGE_SUFFIXES, is_image_name
from saywhere.data.datasets.masks import mask_above, mask_equal_to, mask_with_number, read_numbers
from saywhere.data.datasets.sample import Sample, nothing_ignored
from saywhere.errors import SaywhereError

PACKAGED_PHRASES = Path(__file__).parent / "phrases"
MIN_INSTANCE = 0.01  # of a mask: smaller regions are specks, not instances
MASK_SUFFIXES = {".png", ".bmp"}  # suffixes of masks that lie among the images


@dataclass(frozen=True)
class FolderLayout:
    """The layout of such a dataset.

    Attributes:
        group: the group of its samples, unless ``grouped``.
        pairs: names of the two folders, of images and of masks; the first pair that is there counts.
        threshold: a mask is object where it is brighter.
        ignored_value: pixels of this brightness are not counted; None when all are.
        grouped: both folders hold a folder for each group of images, whose name is the label of its objects.
        mask_suffix: what the name of a mask has after that of its image.
        packaged_phrases: the file in this package with the phrases of its objects, for folders without their own;
            None when there is none.
    """

    group: str
    pairs: tuple[tuple[str, str], ...]
    threshold: int = 127
    ignored_value: int | None = None
    grouped: bool = False
    mask_suffix: str = ""
    packaged_phrases: str | None = None


GRABCUT = FolderLayout(
    "grabcut", (("data_GT", "boundary_GT"),), threshold=128, ignored_value=128, packaged_phrases="grabcut.json"
)
BERKELEY = FolderLayout("berkeley", (("images", "masks"),), threshold=128, ignored_value=128)
DAVIS = FolderLayout("davis", (("img", "gt"),), threshold=0)
COCO_MVAL = FolderLayout("coco-mval", (("img", "gt"),), threshold=0)
MSRA10K = FolderLayout("msra10k", (("Imgs", "Imgs"),))
ECSSD = FolderLayout("ecssd", (("images", "ground_truth_mask"), ("Image", "Mask")))
COSALIENT = (("image", "binary"), ("Image", "GroundTruth"), ("img", "gt"))
COSOD3K = FolderLayout("cosod3k", COSALIENT, grouped=True)
COCA = FolderLayout("coca", COSALIENT, grouped=True)


def read_grabcut(folder: Path) -> list[Sample]:
    """The 50 objects of GrabCut; pixels of value 128 in a mask are not counted.

    Their phrases were written for this project and come with it; a ``phrases.json`` in the folder takes their place.
    """
    return read_folders(folder, GRABCUT)


def read_folders(folder: Path, layout: FolderLayout) -> list[Sample]:
    """The objects of a dataset of images and masks, with phrases from ``phrases.json`` if it is there
    (GrabCut's come with the package).

    An image NAME has a mask NAME, or several: NAME-1, NAME-2.

    Args:
        folder: of the dataset.
        layout: of the dataset.

    Raises:
        SaywhereError: files have no counterpart; it names them.
    """
    pair = next((pair for pair in layout.pairs if all((folder / part).is_dir() for part in pair)), layout.pairs[0])
    images, masks = _find_files(folder, layout, pair)
    image_of = {name: name if name in images else re.sub(r"[-_#]\d+$", "", name) for name in masks}
    unpaired = sorted((masks.keys() - {m for m, owner in image_of.items() if owner in images})
                      | (images.keys() - set(image_of.values())))  # fmt: skip
    if unpaired or not images:
        shape = "/".join((*(["GROUP"] if layout.grouped else []), "NAME"))
        more = f" and {len(unpaired) - 10} more" if len(unpaired) > 10 else ""
        raise SaywhereError(
            f"data '{folder}': expected {pair[0]}/{shape}.jpg and {pair[1]}/{shape}{layout.mask_suffix}.png for every "
            f"name; unpaired: {', '.join(unpaired[:10]) or 'all'}{more}"
        )
    phrases = _phrases_of(folder, layout)
    return [
        Sample(
            name=name,
            image_path=images[image_of[name]],
            target=partial(mask_above, path, layout.threshold),
            ignore=nothing_ignored
            if layout.ignored_value is None
            else partial(mask_equal_to, path, layout.ignored_value),
            label=path.parent.name if layout.grouped else None,
            phrase=phrases.get(name),
            group=path.parent.name if layout.grouped else layout.group,
            source=path,
        )
        for name, path in masks.items()
    ]


def read_part(folder: Path, layout: FolderLayout, bounds: tuple[float, float]) -> list[Sample]:
    """A part of a dataset of images and masks, at random but always the same.

    Args:
        folder: of the dataset.
        layout: of the dataset.
        bounds: where the part begins and ends, as shares of all objects.
    """
    samples = read_folders(folder, layout)
    order = np.random.default_rng(0).permutation(len(samples))
    first, last = (round(bound * len(samples)) for bound in bounds)
    return [samples[i] for i in sorted(order[first:last].tolist())]


def read_instances(folder: Path, layout: FolderLayout) -> list[Sample]:
    """The instances of a dataset of images and masks, in which one mask may have several.

    Where ``instances/GROUP/NAME.png`` is there, its numbers (grey values or palette indices above 0) are the instances.
    Otherwise they are the connected regions of the mask, less those below :data:`MIN_INSTANCE` of it.
    """
    samples = []
    for sample in read_folders(folder, layout):
        numbered = folder / "instances" / f"{sample.name}.png"
        if numbered.is_file():
            values = np.unique(read_numbers(numbered))
            masks = {int(value): partial(mask_with_number, numbered, int(value)) for value in values if value}
        else:
            areas = np.bincount(_regions(sample.target()).ravel())[1:]
            large = np.flatnonzero(areas >= MIN_INSTANCE * areas.sum()) + 1
            masks = {int(number): partial(_region, sample, int(number)) for number in large}
        source = numbered if numbered.is_file() else sample.source
        if len(masks) < 2 and not numbered.is_file():
            samples.append(sample)
            continue
        samples += [
            replace(sample, name=f"{sample.name}/{number}", target=target, source=source)
            for number, target in masks.items()
        ]
    return samples


def _regions(mask: BoolArray) -> NDArray[np.int32]:
    """``(H, W)``: the number of the connected region of each pixel, from 1; 0 outside the mask."""
    return np.asarray(cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1], np.int32)


def _region(sample: Sample, number: int) -> BoolArray:
    return np.asarray(_regions(sample.target()) == number)


def _find_files(folder: Path, layout: FolderLayout, pair: tuple[str, str]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Images and masks by name; the name of a grouped one is ``GROUP/NAME``."""
    # In one folder for both, only the type of the file tells them apart.
    types = set(IMAGE_SUFFIXES)
    suffixes = (types - MASK_SUFFIXES, MASK_SUFFIXES) if pair[0] == pair[1] else (types, types)
    by_name: list[dict[str, Path]] = []
    for part, allowed, mask_suffix in zip(pair, suffixes, ("", layout.mask_suffix), strict=True):
        files = sorted((folder / part).glob("*/*" if layout.grouped else "*"))
        by_name.append({
            path.relative_to(folder / part).with_suffix("").as_posix().removesuffix(mask_suffix): path
            for path in files
            if is_image_name(path) and path.suffix.lower() in allowed and path.stem.endswith(mask_suffix)
        })  # fmt: skip
    return by_name[0], by_name[1]


def _phrases_of(folder: Path, layout: FolderLayout) -> dict[str, str]:
    """The phrases of a dataset's objects by name: those that lie in its folder, else those of the package, if any."""
    path = folder / "phrases.json"
    if not path.exists() and layout.packaged_phrases is not None:
        path = PACKAGED_PHRASES / layout.packaged_phrases
    return _read_phrases(path) if path.exists() else {}


def _read_phrases(path: Path) -> dict[str, str]:
    try:
        phrases = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SaywhereError(f"phrases '{path}': cannot be read as JSON ({error})") from error
    if not isinstance(phrases, dict):
        raise SaywhereError(f"phrases '{path}': expected one object of names and phrases")
    return phrases
