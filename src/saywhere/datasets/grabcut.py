"""GrabCut: ``data_GT/NAME.jpg`` or ``.png``, ``boundary_GT/NAME.png`` or ``.bmp``, ``phrases.json`` if there."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from saywhere.datasets.sample import BoolMask, Sample
from saywhere.errors import SaywhereError

OBJECT, NOT_COUNTED = 255, 128


def _where(path: Path, value: int) -> BoolMask:
    with Image.open(path) as mask:
        return np.asarray(mask.convert("L")) == value


def read_grabcut(folder: Path) -> list[Sample]:
    """The 50 objects of GrabCut; pixels of value 128 in a mask are not counted."""
    photos = {p.stem: p for p in sorted((folder / "data_GT").glob("*")) if p.suffix.lower() in {".jpg", ".png", ".bmp"}}
    masks = {p.stem: p for p in sorted((folder / "boundary_GT").glob("*")) if p.suffix.lower() in {".png", ".bmp"}}
    if not photos or photos.keys() != masks.keys():
        lacking = ", ".join(sorted(photos.keys() ^ masks.keys())) or "all"
        raise SaywhereError(
            f"data '{folder}': expected data_GT/NAME.jpg and boundary_GT/NAME.png for every name; unpaired: {lacking}"
        )
    phrases: dict[str, str] = {}
    if (folder / "phrases.json").exists():
        phrases = json.loads((folder / "phrases.json").read_bytes())
    return [
        Sample(
            name=name,
            photo=photos[name],
            target=partial(_where, masks[name], OBJECT),
            ignore=partial(_where, masks[name], NOT_COUNTED),
            phrase=phrases.get(name),
            group="grabcut",
        )
        for name in photos
    ]
