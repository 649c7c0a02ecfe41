"""Tables as values, as Markdown and as JSON."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from saywhere.evaluation.reproduce.definition import Column, Direction, Row, Table, pairs
from saywhere.evaluation.reproduce.values import (
    VERDICTS,
    Comparison,
    Value,
    compare_values,
    contrast_values,
    sign_expected,
    value_of,
)

Finder = Callable[[Row, Column], Mapping[str, Any] | None]
"""From a cell to the figures of its evaluation; None where it was not made."""
Grouper = Callable[[Row, Column, str], set[str] | None]
"""From a cell and a group to the names of its objects; None for all."""


@dataclass(frozen=True)
class CellResult:
    """A cell: the value here, the paper's, and the comparison with another row."""

    row: str
    column: str
    objects: int
    value: Value
    published: float | None
    against: str | None
    comparison: Comparison | None


@dataclass(frozen=True)
class TableResult:
    """A table with the values that were measured.

    Attributes:
        name: in the definition.
        table: its definition.
        cells: by row and column; those that were not measured are not there.
        contrasts: by the paper's statement.
        notes: lines below the table: which weights, how many steps, what is missing.
    """

    name: str
    table: Table
    cells: Mapping[tuple[str, str], CellResult]
    contrasts: Mapping[str, Comparison]
    notes: tuple[str, ...]


def tabulate(name: str, table: Table, find: Finder, group: Grouper, notes: tuple[str, ...] = ()) -> TableResult:
    """The values of a table, its comparisons and contrasts.

    Args:
        name: of the table.
        table: its definition.
        find: finds a cell's figures.
        group: finds a group's objects.
        notes: lines below the table.
    """
    values: dict[tuple[str, str], Value] = {}
    for row, column in pairs(table):
        run, wanted = find(row, column), row.group or column.group or table.group
        if run is not None:
            names = None if wanted is None else group(row, column, wanted)
            value = value_of(run, row.figures.get(column.name, column.figure), names)
            if value is not None:
                values[row.name, column.name] = value
    cells = {
        (row.name, column.name): _cell(table, row, index, column, values)
        for row in table.rows
        for index, column in enumerate(table.columns)
        if (row.name, column.name) in values
    }
    contrasts = {}
    for contrast in table.contrasts:
        first, second = contrast.columns
        places = [(row, first) for row in contrast.more] + [(row, second) for row in contrast.less]
        if all(place in values for place in places):
            a, b, c, d = (values[place] for place in places)
            contrasts[contrast.claim] = contrast_values((a, b), (c, d))
    return TableResult(name, table, cells, contrasts, notes)


def _cell(table: Table, row: Row, index: int, column: Column, values: Mapping[tuple[str, str], Value]) -> CellResult:
    value = values[row.name, column.name]
    published = row.published[index] if row.published else None
    comparison = None
    if row.against is not None and (row.against, column.name) in values:
        other = next(each for each in table.rows if each.name == row.against)
        theirs = other.published[index] if other.published else None
        expected: Direction | None = sign_expected(published, theirs, row.expected)
        comparison = compare_values(values[row.against, column.name], value, expected)
    return CellResult(row.name, column.name, len(value.by_object), value, published, row.against, comparison)


def summary(result: TableResult) -> str:
    """How many of the paper's comparisons are confirmed, refuted and within chance, in a line."""
    comparisons = [cell.comparison for cell in result.cells.values()] + list(result.contrasts.values())
    counts = Counter(c.verdict for c in comparisons if c is not None and c.verdict is not None)
    if not counts:
        return "The paper compares nothing of this with values."
    return f"The paper's order: {', '.join(f'{counts[kind]} {kind}' for kind in VERDICTS)}."


def markdown(paper: str, results: list[TableResult], skipped: list[str]) -> str:
    """All tables as a Markdown document.

    Args:
        paper: the citation.
        results: the tables.
        skipped: a line for each table that could not be made.
    """
    parts = [f"# {paper}, at small scale", "", *_legend()]
    for result in results:
        parts += ["", f"## {result.name}: {result.table.title}", "", f"{result.table.place}.", "", *_rows(result), ""]
        for claim, contrast in result.contrasts.items():
            parts += [f"- {claim}: {_difference(contrast, result.table.columns[0])}"]
        parts += [f"- {note}" for note in (summary(result), *((result.table.note,) if result.table.note else ()))]
        parts += [f"- {note}" for note in result.notes]
    parts += ["", "## Not made", "", *(f"- {line}" for line in skipped)] if skipped else []
    return "\n".join(parts) + "\n"


def _legend() -> list[str]:
    return [
        "Values with 95 % bootstrap intervals over objects and the number of objects; the difference from the row that",
        "it is compared with, paired over objects; the published value. A comparison that the paper makes is confirmed",
        "or refuted where the interval of the difference leaves zero out, else it is within chance. Where the paper",
        "compares nothing, the difference is beyond or within chance.",
    ]


def _rows(result: TableResult) -> list[str]:
    shown = [c for c in result.table.columns if any((r.name, c.name) in result.cells for r in result.table.rows)]
    header = ["", "compared with"]
    for column in shown:
        published = f"paper{f' ({column.published_data})' if column.published_data else ''}"
        header += [column.name, "difference", published]
    lines = [header, ["---"] * len(header)]
    for row in result.table.rows:
        cells = [result.cells.get((row.name, column.name)) for column in shown]
        if any(cells):
            line = [row.name, row.against or ""]
            for column, cell in zip(shown, cells, strict=True):
                line += ["", "", ""] if cell is None else _texts(cell, column)
            lines.append(line)
    return [f"| {' | '.join(line)} |" for line in lines]


def _texts(cell: CellResult, column: Column) -> list[str]:
    value, digits, scale = cell.value, column.digits, column.scale
    text = f"{value.mean * scale:.{digits}f}"
    if value.by_object:
        text += f" ({value.low * scale:.{digits}f} to {value.high * scale:.{digits}f}; {cell.objects})"
    difference = ""
    if cell.comparison is not None:
        difference = _difference(cell.comparison, column)
    return [text, difference, "" if cell.published is None else f"{cell.published:g}"]


def _difference(comparison: Comparison, column: Column) -> str:
    scale, digits = column.scale, column.digits
    text = f"{comparison.difference * scale:+.{digits}f}"
    if comparison.low != comparison.high:
        text += f" ({comparison.low * scale:+.{digits}f} to {comparison.high * scale:+.{digits}f})"
    if comparison.verdict is None and comparison.low == comparison.high:
        return text
    beyond = comparison.low > 0.0 or comparison.high < 0.0
    return f"{text}, {comparison.verdict or ('beyond chance' if beyond else 'within chance')}"


def as_json(result: TableResult) -> dict[str, Any]:
    """A table's values as JSON can hold them."""
    scale = {column.name: column.scale for column in result.table.columns}
    cells = []
    for cell in result.cells.values():
        factor = scale[cell.column]
        entry = {"row": cell.row, "column": cell.column, "objects": cell.objects, "published": cell.published}
        entry |= {key: getattr(cell.value, key) * factor for key in ("mean", "low", "high")}
        if cell.comparison is not None:
            compared = {**asdict(cell.comparison), "against": cell.against}
            entry["comparison"] = {k: v * factor if isinstance(v, float) else v for k, v in compared.items()}
        cells.append(entry)
    contrasts = {claim: asdict(contrast) for claim, contrast in result.contrasts.items()}
    return {
        "title": result.table.title, "place": result.table.place, "cells": cells, "contrasts": contrasts,
        "notes": list(result.notes), "summary": summary(result),
    }  # fmt: skip
