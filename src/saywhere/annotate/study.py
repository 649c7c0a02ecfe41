"""The tables of a user study, as the papers report theirs, from the CSV files of ``saywhere annotate --study``.

PhraseClick, table 3: interactions per object, by person. Multi-Stage Fusion, section 5: seconds to the first click and
its distance from the object's centre, with standard deviations. Sequential Interactive Image Segmentation, table 4:
seconds to the first click with and without a proposal, by label. DCT-Net and Text+Click have no user study. PhraseClick
counts interactions up to an IoU of 0.85; here a person decides when an object is done.
"""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from saywhere.core.atomic import write_atomically
from saywhere.core.metrics import bootstrap_interval
from saywhere.errors import SaywhereError

REQUIRED = ("state", "person", "interactions", "seconds")
DONE = "done"  # images that are not done hold objects that are not finished
SUMMARY = ("mean", "SD", "95 % low", "95 % high")
NO_LABEL = "(no label)"


@dataclass(frozen=True)
class StudyObject:
    """One object of a study: a row of the CSV.

    Attributes:
        mode: which interactions were allowed, for example "phraseclick".
        person: who annotated it.
        label: its label; "" without.
        interactions: that are in force; a drag is one, a phrase is one.
        seconds: that all its events took.
        first_seconds: that its first event took; None where the CSV does not say.
        first_click_distance: of the first positive click from the centre of its mask, in pixels; None where unknown.
        proposed: whether it began with an accepted proposal.
    """

    mode: str
    person: str
    label: str
    interactions: int
    seconds: float
    first_seconds: float | None
    first_click_distance: float | None
    proposed: bool


@dataclass(frozen=True)
class Table:
    """A table of a study: the name of its file, what it shows, the columns, and the cells."""

    name: str
    title: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def as_markdown(self) -> str:
        """The title and the table."""
        lines = (self.header, ["---"] * len(self.header), *self.rows)
        return "\n".join([f"**{self.title}**", "", *(f"| {' | '.join(cells)} |" for cells in lines), ""])

    def as_csv(self) -> str:
        """The table."""
        out = io.StringIO()
        csv.writer(out).writerows([self.header, *self.rows])
        return out.getvalue()


def read_study(path: Path, mode: str) -> list[StudyObject]:
    """Read the objects of one file whose images are done.

    Args:
        path: the CSV that the annotator's page ``/stats`` gives.
        mode: which interactions were allowed.

    Raises:
        SaywhereError: it is something else, or no image in it is done.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline="")))
    except (OSError, ValueError, csv.Error) as error:
        raise SaywhereError(f"study '{path}': cannot be read ({error})") from error
    if not rows or (missing := [name for name in REQUIRED if name not in rows[0]]):
        lacks = "no rows" if not rows else f"no column '{missing[0]}'"
        raise SaywhereError(f"study '{path}': {lacks}; give the CSV of the annotator's statistics page")
    try:
        objects = [_object(row, mode) for row in rows if row["state"] == DONE]
    except (TypeError, ValueError) as error:
        raise SaywhereError(f"study '{path}': a cell is no number ({error}); give the CSV as it was written") from error
    if not objects:
        raise SaywhereError(f"study '{path}': no image is done; accept images (N) when their objects are finished")
    return objects


def _object(row: Mapping[str, str], mode: str) -> StudyObject:
    def number(name: str) -> float | None:
        return float(row[name]) if row.get(name) else None

    interactions, seconds = int(row["interactions"]), float(row["seconds"])
    if interactions < 0 or not math.isfinite(seconds):
        raise ValueError(f"interactions {interactions}, seconds {seconds}")
    return StudyObject(
        mode, row["person"], row.get("label") or "", interactions, seconds, number("first_seconds"),
        number("first_click_distance"), bool(number("proposed")),
    )  # fmt: skip


def study_tables(objects: Sequence[StudyObject]) -> list[Table]:
    """All tables of a study. Those of proposals and of differences are only there where there is something to show.

    Args:
        objects: of all modes; the first one's mode is the one that others are compared with.
    """
    tables = [
        _per_mode(objects),
        _by_person(
            objects, "interactions", "Interactions per object, by person (PhraseClick, table 3)", interactions_of
        ),
        _by_person(objects, "seconds", "Seconds per object, by person", seconds_of),
        _first_click(objects),
    ]
    if any(one.proposed for one in objects):
        tables.append(_proposals(objects))
    differences = _differences(objects)
    return [*tables, differences] if differences.rows else tables


def interactions_of(one: StudyObject) -> float:
    """The interactions of an object."""
    return float(one.interactions)


def seconds_of(one: StudyObject) -> float:
    """The seconds that an object took."""
    return one.seconds


def write_tables(folder: Path, tables: Iterable[Table]) -> list[Path]:
    """Write ``study.md`` with all tables, and a CSV for each.

    Returns:
        The files.
    """
    contents = {"study.md": "\n".join(table.as_markdown() for table in tables)}
    contents |= {f"{table.name}.csv": table.as_csv() for table in tables}
    for name, content in contents.items():
        write_atomically(folder / name, content.encode())
    return [folder / name for name in contents]


def _grouped(
    objects: Iterable[StudyObject], key: Callable[[StudyObject], str]
) -> dict[str, list[StudyObject]]:  # fmt: skip
    groups: dict[str, list[StudyObject]] = {}
    for one in objects:
        groups.setdefault(key(one), []).append(one)
    return groups


def _summary(values: Sequence[float], digits: int = 2) -> list[str]:
    """Mean, sample standard deviation, and the 95 % bootstrap interval of the mean; empty cells without values."""
    if not values:
        return [""] * len(SUMMARY)
    spread = f"{statistics.stdev(values):.{digits}f}" if len(values) > 1 else ""
    low, high = bootstrap_interval(values)
    return [f"{statistics.fmean(values):.{digits}f}", spread, f"{low:.{digits}f}", f"{high:.{digits}f}"]


def _columns(quantity: str) -> list[str]:
    return [f"{quantity}, {part}" for part in SUMMARY]


def _per_mode(objects: Sequence[StudyObject]) -> Table:
    """Interactions and seconds of every object together."""
    rows = []
    for mode, own in _grouped(objects, lambda one: one.mode).items():
        interactions = [interactions_of(one) for one in own]
        each = sum(one.seconds for one in own) / max(sum(interactions), 1.0)
        people = {one.person for one in own}
        rows.append([
            mode, str(len(people)), str(len(own)), *_summary(interactions), *_summary([one.seconds for one in own]),
            f"{each:.2f}",
        ])  # fmt: skip
    header = ["mode", "people", "objects", *_columns("interactions"), *_columns("seconds"), "seconds per interaction"]
    return Table("modes", "Interactions and seconds per object; SD and intervals over objects", header, rows)


def _by_person(
    objects: Sequence[StudyObject], name: str, title: str, value: Callable[[StudyObject], float]
) -> Table:  # fmt: skip
    """A row for each mode and a column for each person; the average is that of the people's means, as in the paper."""
    people = sorted({one.person for one in objects})
    rows = []
    for mode, own in _grouped(objects, lambda one: one.mode).items():
        means = _means_by_person(own, value)
        cells = [f"{means[person]:.2f}" if person in means else "" for person in people]
        rows.append([mode, *cells, *_summary(list(means.values()))])
    header = ["mode", *people, "average", "SD over people", *SUMMARY[2:]]
    return Table(f"{name}-by-person", title, header, rows)


def _means_by_person(objects: Iterable[StudyObject], value: Callable[[StudyObject], float]) -> dict[str, float]:
    grouped = _grouped(objects, lambda one: one.person)
    return {person: statistics.fmean(map(value, own)) for person, own in sorted(grouped.items())}


def _first_click(objects: Sequence[StudyObject]) -> Table:
    """Seconds to the first interaction, and how far the first click is from the centre of the mask."""
    rows = []
    for mode, own in _grouped(objects, lambda one: one.mode).items():
        seconds = [one.first_seconds for one in own if one.first_seconds is not None and not one.proposed]
        distances = [
            one.first_click_distance for one in own if one.first_click_distance is not None and not one.proposed
        ]
        rows.append([mode, str(len(seconds)), *_summary(seconds), str(len(distances)), *_summary(distances)])
    header = ["mode", "objects", *_columns("seconds"), "clicks", *_columns("pixels from the centre")]
    title = (
        "The first interaction, without proposals: seconds, and distance of the click (Multi-Stage Fusion, section 5)"
    )
    return Table("first-click", title, header, rows)


def _proposals(objects: Sequence[StudyObject]) -> Table:
    """Mean seconds to the first click by label, for objects that began with an accepted proposal and for others."""
    labels = sorted({one.label for one in objects})
    rows = []
    for name, proposed in (("accept a proposed click", True), ("provide the first click", False)):
        own = [one for one in objects if one.proposed is proposed and one.first_seconds is not None]
        by_label = _grouped(own, lambda one: one.label)
        seconds = {label: [one.first_seconds or 0.0 for one in by_label.get(label, [])] for label in labels}
        cells = [f"{statistics.fmean(seconds[label]):.2f}" if seconds[label] else "" for label in labels]
        rows.append([name, *cells, str(len(own)), *_summary([value for one in seconds.values() for value in one])])
    header = ["setting", *(label or NO_LABEL for label in labels), "objects", *_columns("all")]
    title = "Seconds to the first click (Sequential Interactive Image Segmentation, table 4)"
    return Table("proposals", title, header, rows)


def _differences(objects: Sequence[StudyObject]) -> Table:
    """Every further mode less the first one, over the people who did both."""
    by_mode = _grouped(objects, lambda one: one.mode)
    first = next(iter(by_mode))
    rows = []
    for mode in list(by_mode)[1:]:
        for quantity, value in (("interactions", interactions_of), ("seconds", seconds_of)):
            a, b = (_means_by_person(by_mode[one], value) for one in (first, mode))
            paired = [b[person] - a[person] for person in sorted(a.keys() & b.keys())]
            if paired:
                rows.append([f"{mode} - {first}", quantity, str(len(paired)), *_summary(paired)])
    header = ["modes", "per object", "people", *SUMMARY]
    return Table("differences", "Paired differences over people", header, rows)
