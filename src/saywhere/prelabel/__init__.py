"""Pre-labelling: masks for a whole folder of images, or a COCO file, from boxes, points or phrases."""

from __future__ import annotations

from pathlib import Path

from saywhere.errors import SaywhereError
from saywhere.prelabel.from_coco import read_boxes_and_points
from saywhere.prelabel.from_folder import read_folder
from saywhere.prelabel.request import ImagePrompts, ObjectPrompt, PrelabelRequest
from saywhere.prelabel.run import PrelabelResult, prelabel

__all__ = ["ImagePrompts", "ObjectPrompt", "PrelabelRequest", "PrelabelResult", "prelabel", "read_request"]


def read_request(
    source: Path,
    points: Path | None = None,
    phrase: str | None = None,
    images: Path | None = None,
    boxes_with_points: bool = False,
) -> PrelabelRequest:
    """Read images and prompts.

    Args:
        source: a COCO JSON file, or a folder of images.
        points: for a folder, a CSV file of points.
        phrase: a phrase for every object; for a folder without points, what all objects are called that are looked for.
        images: the folder of a COCO file's images, when they are not beside it.
        boxes_with_points: for a COCO file, whether an annotation's bbox counts beside its points or keypoints.

    Returns:
        The request; what is wrong with single images, objects and lines is listed in its ``faults``.

    Raises:
        SaywhereError: a whole file cannot be used.
    """
    if source.is_dir():
        if images:
            raise SaywhereError(f"images '{images}': '{source}' is itself a folder of photographs; leave it out")
        if boxes_with_points:
            raise SaywhereError(f"boxes with points: '{source}' is a folder, which has no boxes; give a COCO JSON file")
        return read_folder(source, points, phrase)
    if source.suffix != ".json":
        raise SaywhereError(f"source '{source}': give a folder of photographs or a COCO JSON file that is there")
    if points:
        raise SaywhereError(f"points '{points}': they go with a folder; put points into the annotations of '{source}'")
    return read_boxes_and_points(source, phrase, images, boxes_with_points)
