"""Index masks: a PNG of object numbers for each photograph, and a table that says what the numbers are."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from saywhere.core.arrays import BoolArray
from saywhere.core.images import ENDINGS
from saywhere.data.datasets.masks import numbers
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    Object,
    Source,
    WriteOptions,
    checked_label,
    checked_score,
    find_image,
)
from saywhere.data.formats.index_masks import paint, write_map
from saywhere.data.formats.names import Names, safe_name
from saywhere.errors import SaywhereError

TABLE = "objects.csv"
COLUMNS = ["mask", "photo", "number", "label", "score", "author"]
MOST = 65535
Row = dict[str, str]


def read_png(source: Path, photos: Path | None) -> Source:
    """The photographs of a folder of index masks; what their numbers are ``objects.csv`` says.

    Without that table every number but 0 is an object without a label. SaywhereError when there is no mask, or the
    table cannot be used.
    """
    masks = _table(source / TABLE) or {p.relative_to(source).as_posix(): [] for p in sorted(source.rglob("*.png"))}
    if not masks:
        raise SaywhereError(f"source '{source}': no PNG mask there")
    return Source([partial(_photo, source, mask, said, photos or source) for mask, said in masks.items()])


def _table(path: Path) -> dict[str, list[Row]]:
    """The lines of the table by mask; none without a table."""
    found: dict[str, list[Row]] = defaultdict(list)
    if not path.exists():
        return found
    try:
        with path.open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if reader.fieldnames != COLUMNS:
                raise SaywhereError(f"'{path}': columns {reader.fieldnames}; expected {COLUMNS}")
            for row in reader:
                if None in row or None in row.values():
                    raise SaywhereError(f"'{path}', line {reader.line_num}: expected {len(COLUMNS)} fields")
                found[row["mask"]].append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SaywhereError(f"'{path}': cannot be read as CSV ({error})") from error
    return found


def _photo(source: Path, mask: str, rows: list[Row], folder: Path) -> AnnotatedImage:
    path = source / safe_name(mask)
    values = numbers(path)
    height, width = values.shape
    present = np.unique(values[values > 0]).tolist()
    if not rows:
        plain = str(Path(mask).with_suffix(""))
        file = next((plain + e for e in sorted(ENDINGS) if folder != source and (folder / (plain + e)).is_file()), mask)
        objects = tuple(Object.of(values == number) for number in present)
    else:
        file = safe_name(rows[0]["photo"])
        told = {number: row for row in rows if (number := _number(row, path))}
        if sorted(told) != present:
            strange = sorted(set(told) ^ set(present))
            raise SaywhereError(f"mask '{path}': numbers {strange[:10]} are not in both the mask and {TABLE}")
        objects = tuple(_object(values == number, told[number], path) for number in present)
    # Without photographs of its own, a folder of masks holds only masks of that name.
    where = None if folder == source else find_image(folder, file, (width, height))
    return AnnotatedImage(file, width, height, objects, where)


def _number(row: Row, path: Path) -> int:
    """The object's number; 0 in the line of a photograph without objects."""
    if row["number"] and not row["number"].isdecimal():
        raise SaywhereError(f"mask '{path}': number {row['number']!r} in {TABLE}: give a whole number")
    return int(row["number"] or 0)


def _object(inside: BoolArray, row: Row, path: Path) -> Object:
    try:
        score = checked_score(float(row["score"])) if row["score"] else None
    except ValueError as error:
        raise SaywhereError(f"mask '{path}': score {row['score']!r} in {TABLE}: give a number from 0 to 1") from error
    return Object.of(inside, checked_label(row["label"]), score, checked_label(row["author"]))


def write_png(photos: Iterable[AnnotatedImage], dest: Path, how: WriteOptions, notes: list[str]) -> None:
    """Write the masks and their table: 8 bits with a palette, or 16 when a photograph has more than 255 objects."""
    taken = Names()
    dest.mkdir(parents=True)
    with (dest / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for photo in photos:
            mask = taken.claim(photo.file, notes) + ".png"
            painted, kept = paint(photo, MOST, notes)
            write_map(dest / mask, painted)
            for number, i in enumerate(kept, 1):
                one = photo.objects[i]
                score = "" if one.score is None else repr(one.score)
                table.writerow([mask, photo.file, number, one.label or "", score, one.author or ""])
            if not kept:
                table.writerow([mask, photo.file, "", "", "", ""])
