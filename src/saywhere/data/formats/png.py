"""Index masks: a PNG of object numbers for each image, and a table that says what the numbers are."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from saywhere.core.geometry import ImageSize
from saywhere.core.images import IMAGE_SUFFIXES
from saywhere.core.rle import RunLengths
from saywhere.data.checks import check_label, check_score
from saywhere.data.datasets.masks import read_numbers
from saywhere.data.files import find_image, is_file, list_files, safe_name
from saywhere.data.formats.annotated_image import (
    AnnotatedImage,
    AnnotationSource,
    ObjectAnnotation,
    WriteOptions,
    with_image_file,
)
from saywhere.data.formats.index_masks import draw_index_map, split_index_map, write_index_map
from saywhere.data.formats.names import UniqueNames
from saywhere.errors import SaywhereError

TABLE = "objects.csv"
COLUMNS = ["mask", "photo", "number", "label", "score", "author"]
MAX_OBJECTS = 65535  # in an image, as 16 bits count them
Row = dict[str, str]


def read_png(source: Path, images: Path | None) -> AnnotationSource:
    """The annotated images of a folder of index masks.

    Args:
        source: the folder. Without ``objects.csv`` in it, every number but 0 is an object without a label.
        images: the folder of the images, if they are at hand.

    Raises:
        SaywhereError: there is no mask, or the table cannot be used.
    """
    masks = _read_table(source / TABLE) or {name: [] for name in list_files(source, ".png")}
    if not masks:
        raise SaywhereError(f"source '{source}': no PNG mask there")
    return AnnotationSource([partial(_read_image, source, mask, rows, images) for mask, rows in masks.items()])


def _read_table(path: Path) -> dict[str, list[Row]]:
    """The lines of the table by mask; none without a table."""
    rows_by_mask: dict[str, list[Row]] = defaultdict(list)
    if not path.exists():
        return rows_by_mask
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if reader.fieldnames != COLUMNS:
                raise SaywhereError(f"'{path}': columns {reader.fieldnames}; expected {COLUMNS}")
            for row in reader:
                if None in row or None in row.values():
                    raise SaywhereError(f"'{path}', line {reader.line_num}: expected {len(COLUMNS)} fields")
                rows_by_mask[row["mask"]].append(row)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise SaywhereError(f"'{path}': cannot be read as CSV ({error})") from error
    return rows_by_mask


def _read_image(source: Path, mask: str, rows: list[Row], images: Path | None) -> AnnotatedImage:
    path = source / safe_name(mask)
    values = read_numbers(path)
    regions = split_index_map(values)
    # The masks themselves are not taken for the images.
    folder = None if images == source else images
    notes: tuple[str, ...] = ()
    if not rows:
        stem = str(Path(mask).with_suffix(""))
        names = (stem + suffix for suffix in IMAGE_SUFFIXES)
        file_name = next((name for name in names if folder and is_file(folder / name)), mask)
        objects = tuple(ObjectAnnotation(region) for region in regions.values())
    else:
        file_name, renamed = find_image(rows[0]["photo"], folder, source)
        notes = (f"photograph '{file_name}': {renamed}",) if renamed else ()
        row_of = {number: row for row in rows if (number := _read_number(row, path))}
        if sorted(row_of) != list(regions):
            different = sorted(set(row_of) ^ set(regions))
            raise SaywhereError(f"mask '{path}': numbers {different[:10]} are not in both the mask and {TABLE}")
        objects = tuple(_read_object(region, row_of[number], path) for number, region in regions.items())
    image = AnnotatedImage(file_name, ImageSize(*values.shape), objects, notes=notes)
    return with_image_file(image, folder) if folder else image


def _read_number(row: Row, path: Path) -> int:
    """The object's number; 0 in the line of an image without objects."""
    if row["number"] and not (row["number"].isdecimal() and len(row["number"]) < 10):
        raise SaywhereError(f"mask '{path}': number {row['number']!r} in {TABLE}: give a whole number")
    return int(row["number"] or 0)


def _read_object(region: RunLengths, row: Row, path: Path) -> ObjectAnnotation:
    try:
        score = check_score(float(row["score"])) if row["score"] else None
    except ValueError as error:
        raise SaywhereError(f"mask '{path}': score {row['score']!r} in {TABLE}: give a number from 0 to 1") from error
    return ObjectAnnotation(region, check_label(row["label"]), score, check_label(row["author"]))


def write_png(images: Iterable[AnnotatedImage], dest: Path, options: WriteOptions, notes: list[str]) -> None:
    """Write the masks and their table: 8 bits with a palette, or 16 when an image has more than 255 objects."""
    names = UniqueNames()
    dest.mkdir(parents=True)
    with (dest / TABLE).open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for image in images:
            mask = names.claim(image.file_name, notes) + ".png"
            index_map, kept = draw_index_map(image, MAX_OBJECTS, notes)
            write_index_map(dest / mask, index_map)
            for number, i in enumerate(kept, 1):
                each = image.objects[i]
                score = "" if each.score is None else repr(each.score)
                table.writerow([mask, image.file_name, number, each.label or "", score, each.author or ""])
            if not kept:
                table.writerow([mask, image.file_name, "", "", "", ""])
