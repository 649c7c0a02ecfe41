"""A folder of photographs and a folder of masks that bear the same names: GrabCut, Berkeley, DAVIS and the like."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from saywhere.core.images import IMAGE_SUFFIXES, is_image_name
from saywhere.data.datasets.masks import as_bright_as, brighter_than
from saywhere.data.datasets.sample import Sample, nothing_ignored
from saywhere.errors import SaywhereError

MASKS = {".png", ".bmp"}  # suffixes of masks that lie among the photographs


@dataclass(frozen=True)
class Folders:
    """How one such data set is laid out.

    ``pairs`` are the names (photographs, masks) that people know the two folders by; the first pair that is there
    counts. A mask is object where it is brighter than ``above`` and not counted where it is as bright as ``ignored``.
    With ``grouped``, both hold one folder for each group of photographs, whose name is the object's label.
    ``ending`` is what a mask's name has and its photograph's lacks.
    """

    group: str
    pairs: tuple[tuple[str, str], ...]
    above: int = 127
    ignored: int | None = None
    grouped: bool = False
    ending: str = ""


GRABCUT = Folders("grabcut", (("data_GT", "boundary_GT"),), above=128, ignored=128)
BERKELEY = Folders("berkeley", (("images", "masks"),), above=128, ignored=128)
DAVIS = Folders("davis", (("img", "gt"),), above=0)
COCO_MVAL = Folders("coco-mval", (("img", "gt"),), above=0)
MSRA10K = Folders("msra10k", (("Imgs", "Imgs"),))
ECSSD = Folders("ecssd", (("images", "ground_truth_mask"), ("Image", "Mask")))
COSALIENT = (("image", "binary"), ("Image", "GroundTruth"), ("img", "gt"))
COSOD3K = Folders("cosod3k", COSALIENT, grouped=True)
COCA = Folders("coca", COSALIENT, grouped=True)


def read_grabcut(folder: Path) -> list[Sample]:
    """The 50 objects of GrabCut; pixels of value 128 in a mask are not counted."""
    return read_folders(folder, GRABCUT)


def read_folders(folder: Path, layout: Folders) -> list[Sample]:
    """The objects of a data set of photographs and masks, by name, with phrases from ``phrases.json`` if there.

    A photograph NAME has a mask NAME, or several: NAME-1, NAME-2. SaywhereError names what has no counterpart.
    """
    pair = next((pair for pair in layout.pairs if all((folder / part).is_dir() for part in pair)), layout.pairs[0])
    photos, masks = _files(folder, layout, pair)
    owners = {name: name if name in photos else re.sub(r"[-_#]\d+$", "", name) for name in masks}
    unpaired = sorted((masks.keys() - {m for m, owner in owners.items() if owner in photos})
                      | (photos.keys() - set(owners.values())))  # fmt: skip
    if unpaired or not photos:
        shape = "/".join((*(["GROUP"] if layout.grouped else []), "NAME"))
        more = f" and {len(unpaired) - 10} more" if len(unpaired) > 10 else ""
        raise SaywhereError(
            f"data '{folder}': expected {pair[0]}/{shape}.jpg and {pair[1]}/{shape}{layout.ending}.png for every name; "
            f"unpaired: {', '.join(unpaired[:10]) or 'all'}{more}"
        )
    phrases = _phrases(folder / "phrases.json")
    return [
        Sample(
            name=name,
            image_path=photos[owners[name]],
            target=partial(brighter_than, path, layout.above),
            ignore=nothing_ignored if layout.ignored is None else partial(as_bright_as, path, layout.ignored),
            label=path.parent.name if layout.grouped else None,
            phrase=phrases.get(name),
            group=path.parent.name if layout.grouped else layout.group,
            source=path,
        )
        for name, path in masks.items()
    ]


def _files(folder: Path, layout: Folders, pair: tuple[str, str]) -> tuple[dict[str, Path], dict[str, Path]]:
    """Photographs and masks by name; the name of a grouped one is ``GROUP/NAME``."""
    # In one folder for both, only the kind of file tells them apart.
    types = set(IMAGE_SUFFIXES)
    kinds = (types - MASKS, MASKS) if pair[0] == pair[1] else (types, types)
    found: list[dict[str, Path]] = []
    for part, kind, ending in zip(pair, kinds, ("", layout.ending), strict=True):
        files = sorted((folder / part).glob("*/*" if layout.grouped else "*"))
        found.append({
            path.relative_to(folder / part).with_suffix("").as_posix().removesuffix(ending): path
            for path in files
            if is_image_name(path) and path.suffix.lower() in kind and path.stem.endswith(ending)
        })  # fmt: skip
    return found[0], found[1]


def _phrases(path: Path) -> dict[str, str]:
    if not path.exists():
        return {}
    try:
        phrases = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SaywhereError(f"phrases '{path}': cannot be read as JSON ({error})") from error
    if not isinstance(phrases, dict):
        raise SaywhereError(f"phrases '{path}': expected one object of names and phrases")
    return phrases
