"""What annotating cost: interactions and time, by object, from the events alone."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby, pairwise

from pydantic import BaseModel
from sqlalchemy import select

from saywhere.annotate.db.store import Store, event_of
from saywhere.annotate.db.tables import EventRow, ImageRow
from saywhere.annotate.events import replay, standing

START = 10  # objects at least that stand for a project's start, and as many for its present
PAUSE_MS = 60_000  # a longer silence is a pause, and counts as one of this length at most


@dataclass(frozen=True)
class ObjectFigures:
    """One object that is there now. ``seconds`` are those of all its events, undone ones too, pauses cut."""

    path: str
    state: str
    object: int
    label: str
    person: str
    clicks: int
    drags: int
    negatives: int
    phrases: int
    strokes: int
    undone: int
    proposed: int
    interactions: int
    seconds: float
    expected_iou: float | None
    area: int | None
    begun_ms: int
    ended_ms: int


@dataclass(frozen=True)
class Effort:
    """Means over some objects, in the order in which they were begun. An accepted proposal is no interaction, as in
    Sequential Interactive Image Segmentation; ``proposed`` is the share of objects that began with one."""

    objects: int
    interactions: float
    seconds: float
    proposed: float


class StatsOut(BaseModel):
    """Figures by object; the page's plots are made of them. ``effort`` follows the project: tenths of its objects, of
    at least START; what was saved is the difference between the first and the last of them."""

    photographs: dict[str, int]
    objects: list[ObjectFigures]
    effort: list[Effort]


def of(store: Store) -> StatsOut:
    found = list(objects(store))
    return StatsOut(photographs=store.counts(), objects=found, effort=effort(found))


def effort(found: Sequence[ObjectFigures]) -> list[Effort]:
    """The effort of each tenth of a project, from its start to now; the last takes what is left over."""
    if not found:
        return []
    ordered = sorted(found, key=lambda one: one.begun_ms)
    parts = max(min(len(ordered) // START, 10), 1)
    edges = [len(ordered) // parts * part for part in range(parts)] + [len(ordered)]
    return [_effort(ordered[first:last]) for first, last in pairwise(edges)]


def _effort(some: Sequence[ObjectFigures]) -> Effort:
    count = len(some)
    return Effort(
        count,
        round(sum(one.interactions - one.proposed for one in some) / count, 3),
        round(sum(one.seconds for one in some) / count, 3),
        round(sum(one.proposed > 0 for one in some) / count, 3),
    )


def as_csv(store: Store) -> str:
    """A row for each object."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [f.name for f in fields(ObjectFigures)])
    writer.writeheader()
    for row in objects(store):
        writer.writerow({name: _cell(value) for name, value in asdict(row).items()})
    return out.getvalue()


def _cell(value: object) -> object:
    """A spreadsheet takes what begins so for a formula; file names and labels are other people's."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value


def objects(store: Store) -> Iterator[ObjectFigures]:
    """Every object of the project that is there now, by photograph."""
    labels = {id: row.name for id, row in store.all_labels().items()}
    query = (
        select(EventRow, ImageRow.path, ImageRow.state)
        .join(ImageRow, ImageRow.id == EventRow.image_id)
        .where(ImageRow.project_id == store.project)
        .order_by(ImageRow.path, EventRow.image_id, EventRow.seq)
    )
    with store.database.reading() as session:
        for _, rows in groupby(session.execute(query), key=lambda row: row[0].image_id):
            photograph = list(rows)
            events = [row[0] for row in photograph]
            yield from _of_photograph(photograph[0][1], photograph[0][2], events, labels)


def _of_photograph(
    path: str, mark: str, rows: Sequence[EventRow], labels: dict[int, str]
) -> Iterator[ObjectFigures]:  # fmt: skip
    events = [event_of(row) for row in rows]
    stand = {event.seq for event in standing(events)[0]}
    spent = dict(zip((row.seq for row in rows), _seconds(rows), strict=True))
    for id, thing in replay(events).things.items():
        own = [row for row in rows if row.object == id]
        kept = [row for row in own if row.seq in stand]
        clicks = [row for row in kept if row.kind == "click"]
        said = _count(kept, "phrase")
        strokes = _count(kept, "brush")
        yield ObjectFigures(
            path=path, state=mark, object=id, label=labels.get(thing.label or 0, ""), person=own[0].person,
            clicks=sum(row.data["radius"] is None for row in clicks),
            drags=sum(row.data["radius"] is not None for row in clicks),
            negatives=sum(not row.data["positive"] for row in clicks),
            phrases=said, strokes=strokes, undone=len(own) - len(kept),
            proposed=sum(row.data["proposed"] for row in clicks), interactions=len(clicks) + said + strokes,
            seconds=round(sum(spent[row.seq] for row in own), 3), expected_iou=thing.score, area=thing.area,
            begun_ms=own[0].at, ended_ms=own[-1].at,
        )  # fmt: skip


def _count(rows: Iterable[EventRow], kind: str) -> int:
    return sum(row.kind == kind for row in rows)


def _seconds(rows: Sequence[EventRow]) -> list[float]:
    """What each event took: as the page saw it, else the time since the one before (none for the first)."""
    gaps = [0, *(b.at - a.at for a, b in pairwise(rows))]
    took = [gap if row.took_ms is None else row.took_ms for row, gap in zip(rows, gaps, strict=True)]
    return [min(max(step, 0), PAUSE_MS) / 1000.0 for step in took]
