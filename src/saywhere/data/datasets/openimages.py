"""Open Images: a CSV row and a PNG for each object."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from saywhere.core.arrays import BoolArray
from saywhere.core.images import image_size
from saywhere.data.datasets.masks import brighter_than
from saywhere.data.datasets.sample import Sample
from saywhere.errors import SaywhereError

NEEDED = {"MaskPath", "ImageID", "LabelName"}


def read_open_images(path: Path) -> list[Sample]:
    """The objects of ``SPLIT-annotations-object-segmentation.csv``, with ``images`` and ``masks`` beside it.

    Names of classes come from ``*class-descriptions*.csv``, beside it or one folder up.
    SaywhereError when something of this is not there.
    """
    photos, masks = path.parent / "images", path.parent / "masks"
    described = next((file for up in path.parents[:2] for file in sorted(up.glob("*class-descriptions*.csv"))), None)
    if not photos.is_dir() or not masks.is_dir() or not described:
        raise SaywhereError(
            f"data '{path}': expected images/ID.jpg, masks/NAME.png and class-descriptions-boxable.csv beside it"
        )
    try:
        with described.open(newline="", encoding="utf-8-sig") as file:
            labels = {row[0]: row[1] for row in csv.reader(file) if len(row) > 1}
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            lacking = NEEDED.difference(rows.fieldnames or ())
            if lacking:
                raise SaywhereError(f"data '{path}': its first line lacks the columns {', '.join(sorted(lacking))}")
            return [_sample(row, photos, masks, labels) for row in rows]
    except KeyError as error:
        raise SaywhereError(f"data '{path}': the class {error} is not in {described}") from error
    except (OSError, ValueError, TypeError, csv.Error) as error:
        if isinstance(error, SaywhereError):
            raise
        raise SaywhereError(f"data '{path}': cannot be read as CSV ({error})") from error


def _sample(row: dict[str, str], photos: Path, masks: Path, labels: dict[str, str]) -> Sample:
    photo, mask = photos / f"{row['ImageID']}.jpg", masks / row["MaskPath"]
    return Sample(
        name=mask.stem,
        image_path=photo,
        target=partial(mask_of_photo, mask, photo),
        label=labels[row["LabelName"]],
        group="open-images",
        source=mask,
    )


def mask_of_photo(mask: Path, photo: Path) -> BoolArray:
    """A mask brought to its photograph's size, as ``(H, W)``.

    Masks were drawn on photographs of another size than those most people have. A mask of another shape, more than
    a pixel off, stays as it is: it belongs to another photograph, or to one that was turned.
    """
    found = brighter_than(mask, 0)
    (height, width), (h, w) = image_size(photo), found.shape
    if (w, h) == (width, height) or abs(w * height - h * width) > max(w, h, width, height):
        return found
    scaled = Image.fromarray(found).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(scaled, np.bool_)
