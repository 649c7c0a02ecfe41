"""A folder of photographs with points in a CSV file, or one phrase for all."""

from __future__ import annotations

import csv
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from saywhere.core.images import ENDINGS, image_size
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import SaywhereError
from saywhere.prelabel.ask import ImagePrompts, ObjectPrompt, Request, click_inside, on_object

NEEDED = ("file", "x", "y")
COLUMNS = (*NEEDED, "label", "radius", "object", "category")
CATEGORY = "object"


@dataclass
class _Object:
    """What the lines of one object say, so far."""

    category: str
    line: int
    clicks: list[Click] = field(default_factory=list)


def read_folder(folder: Path, points: Path | None, phrase: str | None) -> Request:
    """What is asked of the photographs in a folder and those below it.

    ``points`` is a CSV file whose first line names its columns: ``file`` (from the folder), ``x``, ``y``; and where
    wanted ``label`` (1 on the object, 0 off it), ``radius`` (a drag), ``object`` (lines with the same file and object
    speak of one object), ``category``. ``phrase`` is said of every object, or of every photograph when there are no
    points. Raises SaywhereError when nothing is asked or the CSV file cannot be used as a whole.
    """
    files = sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.suffix.lower() in ENDINGS and path.is_file()
    )
    if points is None and phrase is None:
        raise SaywhereError(f"source '{folder}': say what to find in it with --points FILE.csv or --say TEXT")
    request = Request()
    sizes: dict[str, tuple[int, int] | None] = {}
    if points is None:
        found = {file: {"": _Object(CATEGORY, 0)} for file in files}
        for file in files:
            _size(folder, file, sizes, request.faults)
    else:
        found = _read_csv(folder, points, sizes, request.faults)
    categories: dict[str, int] = {}
    number = 0
    for file, objects in sorted(found.items()):
        size = sizes[file]
        if not size:
            continue
        image = {"id": len(request.images) + 1, "file_name": file, "width": size[0], "height": size[1]}
        request.images.append(image)
        asks = []
        for name, said in objects.items():
            number += 1
            category = categories.setdefault(said.category, len(categories) + 1)
            entry = {"id": number, "image_id": image["id"], "category_id": category, "iscrowd": 0}
            prompt = Prompt(tuple(said.clicks), phrase)
            asks.append(ObjectPrompt(f"{file}#{name}", prompt, {**entry, "prompt": _told(prompt)}))
        request.photos.append(ImagePrompts(file, folder / file, tuple(asks)))
    request.categories = [{"id": number, "name": name} for name, number in categories.items()]
    request.unasked = len(set(files) - found.keys())
    if not request.photos and not request.faults:
        raise SaywhereError(f"source '{folder}': nothing is asked of any photograph in it")
    return request


def _told(prompt: Prompt) -> dict[str, Any]:
    points = [[c.x, c.y, int(c.positive)] + ([c.radius] if c.radius else []) for c in prompt.clicks]
    return ({"points": points} if points else {}) | ({"phrase": prompt.phrase} if prompt.phrase else {})


def _size(
    folder: Path, file: str, sizes: dict[str, tuple[int, int] | None], faults: list[str]
) -> tuple[int, int] | None:
    """Width and height of a photograph; None, and once a fault, when it cannot be read."""
    if file not in sizes:
        try:
            sizes[file] = image_size(folder / file)
        except SaywhereError as error:
            sizes[file] = None
            faults.append(str(error))
    return sizes[file]


def _read_csv(
    folder: Path, path: Path, sizes: dict[str, tuple[int, int] | None], faults: list[str]
) -> dict[str, dict[str, _Object]]:
    """The objects of each file, by name; lines that cannot be used become faults."""
    found: dict[str, dict[str, _Object]] = defaultdict(dict)
    try:
        with path.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, strict=True)
            columns = reader.fieldnames or []
            if not set(NEEDED) <= set(columns) <= set(COLUMNS):
                raise SaywhereError(
                    f"points '{path}': columns {', '.join(columns)}; give {', '.join(NEEDED)} "
                    f"and, where wanted, {', '.join(COLUMNS[len(NEEDED) :])}"
                )
            for row in reader:
                try:
                    _take(folder, row, reader.line_num, sizes, faults, found)
                except SaywhereError as error:
                    faults.append(f"points '{path}', line {reader.line_num}: {error}")
    except (OSError, ValueError, csv.Error) as error:
        if isinstance(error, SaywhereError):
            raise
        raise SaywhereError(f"points '{path}': cannot be read as CSV ({error})") from error
    for objects in found.values():
        for said in objects.values():
            try:
                on_object(said.clicks)
            except SaywhereError as error:
                faults.append(f"points '{path}', line {said.line}: {error}")
    return found


def _take(
    folder: Path, row: dict[str, Any], line: int, sizes: dict[str, tuple[int, int] | None], faults: list[str],
    found: dict[str, dict[str, _Object]],
) -> None:  # fmt: skip
    """Add what a line says to its object; SaywhereError when it cannot be used."""
    if None in row or None in row.values():
        raise SaywhereError("has not as many fields as the first line has columns")
    file = row["file"].strip()
    if not file:
        raise SaywhereError("no file; name a photograph of the folder")
    size = _size(folder, file, sizes, faults)
    label = row.get("label") or "1"
    if label not in ("0", "1"):
        raise SaywhereError(f"label '{label}': give 1 on the object or 0 off it")
    x, y = _number(row, "x"), _number(row, "y")
    radius = _number(row, "radius") if row.get("radius") else None
    click = click_inside(x, y, label == "1", radius, size) if size else Click(x, y, label == "1", radius)
    category = row.get("category") or CATEGORY
    said = found[file].setdefault(row.get("object") or "", _Object(category, line))
    if said.category != category:
        raise SaywhereError(f"category '{category}': line {said.line} says '{said.category}' of the same object")
    said.clicks.append(click)


def _number(row: dict[str, Any], column: str) -> float:
    try:
        return float(row[column])
    except ValueError:
        raise SaywhereError(f"{column} '{row[column]}': give a number of pixels") from None
