"""Leeds Butterfly, in the layout of its makers or as COCO JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from saywhere.data.datasets.coco import read_coco
from saywhere.data.datasets.folders import FolderLayout, read_folders
from saywhere.data.datasets.sample import Sample
from saywhere.errors import SaywhereError

LAYOUT = FolderLayout("leeds-butterfly", (("images", "segmentations"),), mask_suffix="_seg0")
SPECIES: Final = {
    "001": "Danaus plexippus",
    "002": "Heliconius charitonius",
    "003": "Heliconius erato",
    "004": "Junonia coenia",
    "005": "Lycaena phlaeas",
    "006": "Nymphalis antiopa",
    "007": "Papilio cresphontes",
    "008": "Pieris rapae",
    "009": "Vanessa atalanta",
    "010": "Vanessa cardui",
}


def read_leeds(place: Path) -> Sequence[Sample]:
    """The 832 butterflies from a COCO JSON file, or from a folder with ``images`` and ``segmentations``.

    In the folder, the first three digits of an image's name are its species, which is the label.
    """
    if place.is_file():
        return read_coco(place)
    samples = read_folders(place, LAYOUT)
    unknown = next((sample.image_path for sample in samples if sample.name[:3] not in SPECIES), None)
    if unknown:
        raise SaywhereError(f"photograph '{unknown}': expected a name that begins with a species, 001 to 010")
    return [replace(sample, label=SPECIES[sample.name[:3]]) for sample in samples]
