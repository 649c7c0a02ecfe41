"""A whole folder of photographs, or a COCO file, from boxes, points or phrases to masks."""

from __future__ import annotations

from pathlib import Path

from saywhere.errors import SaywhereError
from saywhere.prelabel.ask import ImagePrompts, ObjectPrompt, Request
from saywhere.prelabel.from_coco import read_boxes_and_points
from saywhere.prelabel.from_folder import read_folder
from saywhere.prelabel.run import Outcome, prelabel

__all__ = ["ImagePrompts", "ObjectPrompt", "Outcome", "Request", "prelabel", "read_request"]


def read_request(
    source: Path, points: Path | None = None, phrase: str | None = None, photos: Path | None = None
) -> Request:
    """What is asked for: a COCO JSON file, or a folder of photographs with a CSV file of points or one phrase.

    ``photos`` is where the photographs of a COCO file lie when not beside it. Faults of single photographs, objects
    and lines are listed in the answer; SaywhereError is raised when a whole file cannot be used.
    """
    if source.is_dir():
        if photos:
            raise SaywhereError(f"photos '{photos}': '{source}' is itself a folder of photographs; leave it out")
        return read_folder(source, points, phrase)
    if source.suffix != ".json":
        raise SaywhereError(f"source '{source}': give a folder of photographs or a COCO JSON file that is there")
    if points:
        raise SaywhereError(f"points '{points}': they go with a folder; put points into the annotations of '{source}'")
    return read_boxes_and_points(source, phrase, photos or source.parent)
