"""What the tests of annotation formats share: round trips, and what each format can hold."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from saywhere.data import formats
from saywhere.data.formats import AnnotatedImage, ObjectAnnotation, WriteOptions

SIDES = st.integers(1, 20)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
WORDS = st.text("abcdeéß :,#\"'<&漢", min_size=1, max_size=12).map(lambda text: " ".join(text.split())).filter(bool)
MASKS = st.tuples(SIDES, SIDES).flatmap(lambda size: st.lists(arrays(bool, size), min_size=1, max_size=4))
INDEX_MAPS = st.tuples(SIDES, SIDES).flatmap(lambda size: arrays(np.uint8, size, elements=st.integers(0, 5)))


@dataclass(frozen=True)
class Capabilities:
    """What comes back bit for bit from a format; of what does not, a note is expected."""

    overlaps: bool = True
    holes: bool = True  # and several pieces
    empty: bool = True
    unlabelled: bool = False
    scores: bool = True  # and authors
    any_text: bool = True  # as a label, also with line breaks and control characters
    suffixes: bool = False  # images whose names differ only in their suffix or in case
    own_size: bool = True  # the annotations say how large their image is


CAPABILITIES = {
    "coco": Capabilities(suffixes=True),
    "voc": Capabilities(overlaps=False, empty=False, scores=False, any_text=False),
    "yolo": Capabilities(holes=False, empty=False, scores=False, own_size=False),
    "png": Capabilities(overlaps=False, empty=False, unlabelled=True),
    "labelme": Capabilities(empty=False),
}


def objects_for(holds: Capabilities) -> st.SearchStrategy[list[ObjectAnnotation]]:
    """Objects of one image that a format with these capabilities holds."""
    masks = MASKS if holds.overlaps else INDEX_MAPS.map(separate)
    masks = masks if holds.holes else masks.map(lambda some: [solid(mask) for mask in some if mask.any()])
    masks = masks if holds.empty else masks.map(lambda some: [mask for mask in some if mask.any()])
    labels = TEXT if holds.any_text else WORDS
    labels = st.none() | labels if holds.unlabelled else labels
    scores, authors = (st.none() | st.floats(0, 1), st.none() | TEXT) if holds.scores else (st.none(), st.none())
    one = st.tuples(labels, scores, authors)
    return masks.filter(bool).flatmap(
        lambda some: st.tuples(*[one] * len(some)).map(
            lambda about: [ObjectAnnotation.from_mask(mask, *fields) for mask, fields in zip(some, about, strict=True)]
        )
    )


def separate(numbers: np.ndarray) -> list[np.ndarray]:
    """The masks of a map of numbers: they do not overlap."""
    return [numbers == number for number in np.unique(numbers[numbers > 0])]


def solid(mask: np.ndarray) -> np.ndarray:
    """One piece of a mask, its holes filled."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros(mask.shape, np.uint8), contours, 0, 1, cv2.FILLED) > 0


def annotated_image(objects: list[ObjectAnnotation], file_name: str = "a.jpg") -> AnnotatedImage:
    return AnnotatedImage(file_name, objects[0].region.size, tuple(objects))


def target(folder: Path, format_name: str) -> Path:
    """A place to write a format to."""
    return folder / ("out.json" if format_name == "coco" else "out")


def with_files(images: list[AnnotatedImage], folder: Path) -> list[AnnotatedImage]:
    """The same images, with a black image file each in a folder."""
    placed = []
    for image in images:
        path = folder / image.file_name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", image.size[::-1]).save(path)
        placed.append(replace(image, path=path))
    return placed


def round_trip(
    images: list[AnnotatedImage], format_name: str, options: WriteOptions | None = None
) -> tuple[list[AnnotatedImage], list[str]]:
    """The images as read again, and the notes of writing."""
    with tempfile.TemporaryDirectory() as folder:
        dest = target(Path(folder), format_name)
        result = formats.write(with_files(images, Path(folder) / "given"), dest, format_name, options)
        assert (result.images, result.objects) == (len(images), sum(len(image.objects) for image in images))
        return [read_one() for read_one in formats.read(dest).images], result.notes


def assert_same(found: list[AnnotatedImage], expected: list[AnnotatedImage]) -> None:
    assert [(image.file_name, image.size, image.objects) for image in found] == [
        (image.file_name, image.size, image.objects) for image in expected
    ]
