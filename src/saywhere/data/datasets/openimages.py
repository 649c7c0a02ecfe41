"""Open Images: a CSV row and a PNG for each object."""

from __future__ import annotations

import csv
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from saywhere.core.arrays import BoolArray
from saywhere.core.images import image_size
from saywhere.data.datasets.masks import mask_above
from saywhere.data.datasets.sample import Sample
from saywhere.errors import SaywhereError

REQUIRED_COLUMNS = {"MaskPath", "ImageID", "LabelName"}


def read_open_images(path: Path) -> list[Sample]:
    """The objects of ``SPLIT-annotations-object-segmentation.csv``, with ``images`` and ``masks`` beside it.

    Names of classes come from ``*class-descriptions*.csv``, beside it or one folder up.
    SaywhereError when something of this is not there.
    """
    images, mask_folder = path.parent / "images", path.parent / "masks"
    descriptions = next((file for up in path.parents[:2] for file in sorted(up.glob("*class-descriptions*.csv"))), None)
    if not images.is_dir() or not mask_folder.is_dir() or not descriptions:
        raise SaywhereError(
            f"data '{path}': expected images/ID.jpg, masks/NAME.png and class-descriptions-boxable.csv beside it"
        )
    try:
        with descriptions.open(newline="", encoding="utf-8-sig") as file:
            labels = {row[0]: row[1] for row in csv.reader(file) if len(row) > 1}
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = REQUIRED_COLUMNS.difference(rows.fieldnames or ())
            if missing:
                raise SaywhereError(f"data '{path}': its first line lacks the columns {', '.join(sorted(missing))}")
            return [_sample(row, images, mask_folder, labels) for row in rows]
    except KeyError as error:
        raise SaywhereError(f"data '{path}': the class {error} is not in {descriptions}") from error
    except (OSError, ValueError, TypeError, csv.Error) as error:
        if isinstance(error, SaywhereError):
            raise
        raise SaywhereError(f"data '{path}': cannot be read as CSV ({error})") from error


def _sample(row: dict[str, str], images: Path, mask_folder: Path, labels: dict[str, str]) -> Sample:
    image, mask = images / f"{row['ImageID']}.jpg", mask_folder / row["MaskPath"]
    return Sample(
        name=mask.stem,
        image_path=image,
        target=partial(fitted_mask, mask, image),
        label=labels[row["LabelName"]],
        group="open-images",
        source=mask,
    )


def fitted_mask(mask: Path, image: Path) -> BoolArray:
    """A mask scaled to the size of its image, ``(H, W)``.

    Masks were drawn on images of another size than those most people have. A mask of another shape, more than a pixel
    off, stays as it is: it belongs to another image, or to one that was turned.
    """
    values = mask_above(mask, 0)
    (height, width), (h, w) = image_size(image), values.shape
    if (w, h) == (width, height) or abs(w * height - h * width) > max(w, h, width, height):
        return values
    scaled = Image.fromarray(values).resize((width, height), Image.Resampling.NEAREST)
    return np.asarray(scaled, np.bool_)
