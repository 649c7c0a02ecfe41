"""A folder of images with points in a CSV file, or one phrase for all."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saywhere.core.geometry import ImageSize
from saywhere.core.images import image_size
from saywhere.core.prompt import Click, Prompt
from saywhere.data.files import find_image, is_file, leads_out, list_images
from saywhere.errors import SaywhereError
from saywhere.prelabel.request import ImagePrompts, ObjectPrompt, PrelabelRequest, click_inside, on_object

REQUIRED = ("file", "x", "y")
COLUMNS = (*REQUIRED, "label", "radius", "object", "category")
CATEGORY = "object"


@dataclass
class _Object:
    """An object, from the lines of a CSV file that were read so far."""

    category: str
    line: int
    clicks: list[Click] = field(default_factory=list)


def read_folder(folder: Path, points: Path | None, phrase: str | None) -> PrelabelRequest:
    """The prompts for the images in a folder and the folders in it.

    Args:
        folder: the folder.
        points: a CSV file whose first line names its columns: ``file`` (relative to the folder), ``x``, ``y``; optional
            are ``label`` (1 on the object, 0 off it), ``radius`` (a drag), ``object`` (lines with the same file and
            object are clicks on one object) and ``category``.
        phrase: a phrase for every object; without points, what all objects are called that are looked for.

    Returns:
        The request; what is wrong with single images and lines is listed in its ``faults``.

    Raises:
        SaywhereError: there is no prompt, or the CSV file cannot be used as a whole.
    """
    files = list_images(folder)
    if points is None and phrase is None:
        raise SaywhereError(f"source '{folder}': give prompts with --points FILE.csv or --say TEXT")
    request = PrelabelRequest()
    sizes: dict[str, ImageSize | None] = {}
    if points is None:
        by_file = {file: {"": _Object(" ".join((phrase or CATEGORY).split()), 0)} for file in files}
        for file in files:
            _size(folder, file, sizes, request.faults)
    else:
        by_file = _read_csv(folder, points, sizes, request.faults, request.notes)
    categories: dict[str, int] = {}
    number = 0
    for file, objects in sorted(by_file.items()):
        size = sizes[file]
        if not size:
            continue
        image = {"id": len(request.images) + 1, "file_name": file, "width": size.width, "height": size.height}
        request.images.append(image)
        prompts = []
        for name, marked in objects.items():
            number += 1
            category = categories.setdefault(marked.category, len(categories) + 1)
            prompt = Prompt(tuple(marked.clicks), phrase)
            annotation = {
                "id": number,
                "image_id": image["id"],
                "category_id": category,
                "iscrowd": 0,
                "prompt": _as_json(prompt),
            }
            prompts.append(ObjectPrompt(f"{file}#{name}", prompt, annotation, every=points is None))
        request.prompts.append(ImagePrompts(file, folder / file, tuple(prompts)))
    request.categories = [{"id": number, "name": name} for name, number in categories.items()]
    request.unprompted = len(set(files) - by_file.keys())
    if not request.prompts and not request.faults:
        raise SaywhereError(f"source '{folder}': no photograph in it has a prompt")
    return request


def _as_json(prompt: Prompt) -> dict[str, Any]:
    points = [[c.x, c.y, int(c.positive)] + ([c.radius] if c.radius else []) for c in prompt.clicks]
    return ({"points": points} if points else {}) | ({"phrase": prompt.phrase} if prompt.phrase else {})


def _size(folder: Path, file: str, sizes: dict[str, ImageSize | None], faults: list[str]) -> ImageSize | None:
    """Size of an image; None, and once a fault, when it cannot be read."""
    if file not in sizes:
        try:
            sizes[file] = image_size(folder / file)
        except SaywhereError as error:
            sizes[file] = None
            faults.append(str(error))
    return sizes[file]


def _read_csv(
    folder: Path, path: Path, sizes: dict[str, ImageSize | None], faults: list[str], notes: list[str]
) -> dict[str, dict[str, _Object]]:
    """The objects of each file, by name; lines that cannot be used become faults."""
    by_file: dict[str, dict[str, _Object]] = defaultdict(dict)
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, strict=True)
            columns = reader.fieldnames or []
            if not set(REQUIRED) <= set(columns) <= set(COLUMNS):
                raise SaywhereError(
                    f"points '{path}': columns {', '.join(columns)}; give {', '.join(REQUIRED)} "
                    f"and, if needed, {', '.join(COLUMNS[len(REQUIRED) :])}"
                )
            for row in reader:
                try:
                    _add_line(folder, row, reader.line_num, sizes, faults, by_file, notes)
                except SaywhereError as error:
                    faults.append(f"points '{path}', line {reader.line_num}: {error}")
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, SaywhereError):
            raise
        raise SaywhereError(f"points '{path}': cannot be read as CSV ({error})") from error
    for objects in by_file.values():
        for marked in objects.values():
            try:
                on_object(marked.clicks)
            except SaywhereError as error:
                faults.append(f"points '{path}', line {marked.line}: {error}")
    return by_file


def _add_line(
    folder: Path, row: dict[str, Any], line: int, sizes: dict[str, ImageSize | None], faults: list[str],
    by_file: dict[str, dict[str, _Object]], notes: list[str],
) -> None:  # fmt: skip
    """Add the click of a line to its object; SaywhereError when the line cannot be used."""
    if None in row or None in row.values():
        raise SaywhereError("has not as many fields as the first line has columns")
    file = row["file"].strip()
    if not file:
        raise SaywhereError("no file; name a photograph of the folder")
    # A name that leads out of the folder is that of any file that is there.
    if not (leads_out(file) and is_file(folder / file)):
        file, renamed = find_image(file, folder, folder)
        if renamed and renamed not in notes:
            notes.append(renamed)
    size = _size(folder, file, sizes, faults)
    label = row.get("label") or "1"
    if label not in ("0", "1"):
        raise SaywhereError(f"label '{label}': give 1 on the object or 0 off it")
    x, y = _number(row, "x"), _number(row, "y")
    radius = _number(row, "radius") if row.get("radius") else None
    click = click_inside(x, y, label == "1", radius, size) if size else Click(x, y, label == "1", radius)
    category = row.get("category") or CATEGORY
    marked = by_file[file].setdefault(row.get("object") or "", _Object(category, line))
    if marked.category != category:
        raise SaywhereError(f"category '{category}': line {marked.line} says '{marked.category}' of the same object")
    marked.clicks.append(click)


def _number(row: dict[str, Any], column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise SaywhereError(f"{column} '{row[column]}': give a number of pixels") from None
