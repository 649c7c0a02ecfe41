"""What annotation cost: interactions and time by object, computed from the events."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import groupby, pairwise

import numpy as np
from pydantic import BaseModel
from sqlalchemy import select

from saywhere.annotate.db.store import Store, event_from_row
from saywhere.annotate.db.tables import EventRow, ImageRow
from saywhere.annotate.events import EventHistory, ObjectState
from saywhere.annotate.region import Region
from saywhere.core.geometry import ImageSize

MIN_OBJECTS = 10  # of each part of a project whose means are compared
STROKES = ("brush", "lasso", "polygon", "holes", "crumbs", "rectangle")  # corrections by hand, which count alike
MAX_GAP_MS = 60_000  # a longer gap between events is a pause, and counts as this much


@dataclass(frozen=True)
class ObjectFigures:
    """One object that exists now: a row of the statistics, whose CSV has these columns.

    ``seconds`` are those of all its events, undone ones too, with pauses cut, and ``first_seconds`` those of the first;
    ``clicks`` are without drags; ``choices`` are those of another candidate mask. ``first_click_distance`` is that of
    the first positive click from the centre of mass of the object's mask, in pixels; only the CSV has it.
    """

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
    boxes: int = 0
    choices: int = 0
    first_seconds: float = 0.0
    first_click_distance: float | None = None


@dataclass(frozen=True)
class Effort:
    """Means over consecutive objects of a project. An accepted proposal is not counted as an interaction, as in
    Sequential Interactive Image Segmentation; ``proposed`` is the share of objects that began with one."""

    objects: int
    interactions: float
    seconds: float
    proposed: float


class StatsOut(BaseModel):
    """Figures by object; the page's plots are made of them. ``images`` counts images by status. ``effort`` has a row
    for each tenth of the project's objects, oldest first; a part has at least MIN_OBJECTS."""

    images: dict[str, int]
    objects: list[ObjectFigures]
    effort: list[Effort]


def project_stats(store: Store) -> StatsOut:
    """All figures of a project."""
    objects = list(object_figures(store))
    return StatsOut(images=store.count_images(), objects=objects, effort=effort_over_time(objects))


def effort_over_time(objects: Sequence[ObjectFigures]) -> list[Effort]:
    """The effort of each tenth of a project, oldest first; the last part takes the remainder.

    Objects that were imported and not touched cost nothing, and say nothing of the others: they are left out.
    """
    ordered = sorted((one for one in objects if one.interactions), key=lambda one: one.begun_ms)
    if not ordered:
        return []
    parts = max(min(len(ordered) // MIN_OBJECTS, 10), 1)
    edges = [len(ordered) // parts * part for part in range(parts)] + [len(ordered)]
    return [_mean_effort(ordered[first:last]) for first, last in pairwise(edges)]


def _mean_effort(objects: Sequence[ObjectFigures]) -> Effort:
    count = len(objects)
    return Effort(
        count,
        round(sum(one.interactions - one.proposed for one in objects) / count, 3),
        round(sum(one.seconds for one in objects) / count, 3),
        round(sum(one.proposed > 0 for one in objects) / count, 3),
    )


def stats_csv(store: Store) -> str:
    """A CSV table with a row for each object."""
    out = io.StringIO()
    writer = csv.DictWriter(out, [f.name for f in fields(ObjectFigures)])
    writer.writeheader()
    for row in object_figures(store, with_distances=True):
        writer.writerow({name: _cell(value) for name, value in asdict(row).items()})
    return out.getvalue()


def _cell(value: object) -> object:
    """Text that a spreadsheet would take for a formula is quoted: file names and labels are not to be trusted."""
    if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")):
        return f"'{value}"
    return "" if value is None else value


def object_figures(store: Store, with_distances: bool = False) -> Iterator[ObjectFigures]:
    """Every object of the project that exists now, by image; ``with_distances`` decodes the mask of each."""
    labels = {id: row.name for id, row in store.all_labels().items()}
    query = (
        select(EventRow, ImageRow.path, ImageRow.state, ImageRow.height, ImageRow.width)
        .join(ImageRow, ImageRow.id == EventRow.image_id)
        .where(ImageRow.project_id == store.project_id)
        .order_by(ImageRow.path, EventRow.image_id, EventRow.seq)
    )
    with store.database.read_session() as session:
        for _, group in groupby(session.execute(query), key=lambda row: row[0].image_id):
            rows = list(group)
            _, path, status, height, width = rows[0]
            size = ImageSize(height, width) if with_distances and height and width else None
            yield from _image_figures(path, status, [row[0] for row in rows], labels, size)


def _image_figures(
    path: str, status: str, rows: Sequence[EventRow], labels: dict[int, str], size: ImageSize | None
) -> Iterator[ObjectFigures]:
    """The figures of an image's objects; distances where its ``size`` is given."""
    history = EventHistory.replay(event_from_row(row) for row in rows)
    active = {event.seq for event in history.active}
    seconds = dict(zip((row.seq for row in rows), _seconds(rows), strict=True))
    for id, state in history.state.objects.items():
        own = [row for row in rows if row.object == id]
        active_rows = [row for row in own if row.seq in active]
        clicks = [row for row in active_rows if row.kind == "click"]
        phrases, strokes = _count(active_rows, "phrase"), _count(active_rows, *STROKES)
        boxes, choices = _count(active_rows, "box"), _count(active_rows, "candidate")
        accepted = _count(active_rows, "instance")  # proposed with their masks
        yield ObjectFigures(
            path=path, state=status, object=id, label=labels.get(state.label or 0, ""), person=own[0].person,
            clicks=sum(row.data["radius"] is None for row in clicks),
            drags=sum(row.data["radius"] is not None for row in clicks),
            negatives=sum(not row.data["positive"] for row in clicks),
            phrases=phrases, strokes=strokes, undone=len(own) - len(active_rows),
            proposed=accepted + sum(row.data["proposed"] for row in clicks),
            interactions=len(clicks) + phrases + strokes + boxes + choices + accepted, boxes=boxes, choices=choices,
            seconds=round(sum(seconds[row.seq] for row in own), 3), expected_iou=state.score, area=state.area,
            begun_ms=own[0].at, ended_ms=own[-1].at, first_seconds=round(seconds[own[0].seq], 3),
            first_click_distance=None if size is None else _first_click_distance(state, rows, size),
        )  # fmt: skip


def _first_click_distance(state: ObjectState, rows: Sequence[EventRow], size: ImageSize) -> float | None:
    """How far the first positive click is from the centre of the mask; None without such a click, or without a mask."""
    first = next((click for click in state.clicks if click.positive), None)
    counts = next((row.mask for row in rows if row.seq == state.mask), None)
    if first is None or counts is None or not state.area:
        return None
    region = Region.decode(counts, size)
    y, x = (float(places.mean()) for places in np.nonzero(region.mask))
    return round(math.hypot(first.x - region.left - x, first.y - region.top - y), 2)


def _count(rows: Iterable[EventRow], *kinds: str) -> int:
    return sum(row.kind in kinds for row in rows)


def _seconds(rows: Sequence[EventRow]) -> list[float]:
    """What each event took: as the page measured it, else the time since the event before (0 for the first)."""
    gaps = [0, *(later.at - earlier.at for earlier, later in pairwise(rows))]
    took = [gap if row.took_ms is None else row.took_ms for row, gap in zip(rows, gaps, strict=True)]
    return [min(max(ms, 0), MAX_GAP_MS) / 1000.0 for ms in took]
