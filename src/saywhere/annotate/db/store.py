"""What is asked of the tables. One Store is one project, and serves any number of threads."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from saywhere.annotate.db.database import Database
from saywhere.annotate.db.leases import Lease, give_back, lease_of
from saywhere.annotate.db.tables import EventRow, ImageRow, LabelRow, ProjectRow
from saywhere.annotate.events import Event, State, replay
from saywhere.errors import SaywhereError

COLOURS = ("#1c7ed6", "#e8590c", "#2f9e44", "#9c36b5", "#e03131", "#0c8599", "#f08c00", "#6741d9", "#c2255c", "#5c940d")


class Missing(SaywhereError):
    """Asked for something that is not in the project."""


class Conflict(SaywhereError):
    """The photograph is not as the person saw it: somebody, or another page, was there in between."""


@dataclass(frozen=True, slots=True)
class Author:
    """Who asks: a page (``client``) and the name its person goes by."""

    client: str
    person: str


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be kept, with what came of it."""

    kind: str
    object: int | None
    data: Mapping[str, Any]
    mask: bytes | None = None
    score: float | None = None
    area: int | None = None
    weights: str | None = None
    spent_ms: float | None = None
    took_ms: int | None = None


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class Store:
    """A project's photographs, labels and events."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        with database.writing() as session:
            row = session.scalars(select(ProjectRow).where(ProjectRow.folder == str(folder))).one_or_none()
            if row is None:
                row = ProjectRow(folder=str(folder))
                session.add(row)
                session.flush()
            self.project = row.id

    # Photographs

    def found(self, paths: Sequence[str]) -> None:
        """The photographs that are in the folder now; those that are gone stay, marked missing."""
        with self.database.writing() as session:
            rows = session.scalars(select(ImageRow).where(ImageRow.project_id == self.project))
            known = {row.path: row for row in rows}
            present = set(paths)
            session.add_all(ImageRow(project_id=self.project, path=path) for path in paths if path not in known)
            for path, row in known.items():
                row.missing = path not in present

    def images(
        self, state: str | None = None, search: str | None = None, offset: int = 0, limit: int = 1000
    ) -> tuple[int, list[ImageRow]]:
        """How many there are, and those from ``offset`` on, by their paths."""
        query = select(ImageRow).where(ImageRow.project_id == self.project)
        if state:
            query = query.where(ImageRow.state == state)
        if search:
            query = query.where(func.lower(ImageRow.path).contains(search.lower(), autoescape=True))
        with self.database.reading() as session:
            total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
            rows = session.scalars(query.order_by(ImageRow.path, ImageRow.id).offset(offset).limit(limit))
            return total, list(rows)

    def counts(self) -> dict[str, int]:
        """Photographs by state."""
        query = select(ImageRow.state, func.count()).where(ImageRow.project_id == self.project).group_by(ImageRow.state)
        with self.database.reading() as session:
            return {state: count for state, count in session.execute(query)}

    def image(self, id: int) -> ImageRow:
        """A photograph of this project; Missing when there is none."""
        with self.database.reading() as session:
            return self._image(session, id)

    def _image(self, session: Session, id: int) -> ImageRow:
        row = session.get(ImageRow, id)
        if row is None or row.project_id != self.project:
            raise Missing(f"photograph {id}: there is none in this project")
        return row

    def seen(self, id: int, size: tuple[int, int] | None, sha256: str | None, fault: str | None) -> None:
        """What came of opening a photograph: its (height, width) and hash, or why it could not be read."""
        values: dict[str, Any] = {"fault": fault}
        if size is not None:
            values |= {"height": size[0], "width": size[1], "sha256": sha256}
        with self.database.writing() as session:
            session.execute(update(ImageRow).where(ImageRow.id == id).values(values))

    # Events

    def state(self, image: int) -> State:
        """A photograph as it is now."""
        with self.database.reading() as session:
            return self._state(session, image)

    def _state(self, session: Session, image: int) -> State:
        rows = session.scalars(select(EventRow).where(EventRow.image_id == image).order_by(EventRow.seq))
        return replay(event_of(row) for row in rows)

    def masks(self, image: int, ids: Iterable[int]) -> dict[int, bytes]:
        """Run lengths of masks by the numbers of the events that hold them."""
        query = select(EventRow.seq, EventRow.mask).where(EventRow.image_id == image, EventRow.seq.in_(list(ids)))
        with self.database.reading() as session:
            return {seq: mask for seq, mask in session.execute(query) if mask is not None}

    def done_before(self, image: int, key: str) -> int | None:
        """The number of the event that an action with this key already became."""
        with self.database.reading() as session:
            return session.scalar(select(EventRow.seq).where(EventRow.image_id == image, EventRow.key == key))

    def append(self, image: int, base: int, key: str, author: Author, deed: NewEvent) -> State:
        """Keep an event: on return it is on the disk. Returns the photograph's state after it.

        Raises Conflict, and keeps nothing, when event ``base`` is not the last one, or somebody else holds the lease.
        """
        at = now_ms()
        row = EventRow(
            image_id=image, seq=base + 1, key=key, at=at, person=author.person, client=author.client,
            kind=deed.kind, object=deed.object, data=dict(deed.data), weights=deed.weights, spent_ms=deed.spent_ms,
            took_ms=deed.took_ms,
            score=deed.score, area=deed.area, masked=deed.mask is not None, mask=deed.mask,
        )  # fmt: skip
        try:
            with self.database.writing() as session:
                lease_of(session, image, author.client, author.person, at)
                photograph = self._image(session, image)
                if photograph.seq != base:
                    raise Conflict(
                        f"photograph {image}: changed since (now {photograph.seq}, seen {base}); load it again"
                    )
                session.add(row)
                session.flush()
                state = self._state(session, image)
                photograph.seq, photograph.state = state.seq, state.summary
                photograph.objects = len(state.things)
        except IntegrityError as error:
            raise Conflict(f"photograph {image}: somebody else was there at the same moment; load it again") from error
        return state

    def hold(self, image: int, author: Author, take: bool) -> Lease:
        """Hold a photograph for a while. Raises Held when somebody else does, unless ``take``."""
        try:
            with self.database.writing() as session:
                self._image(session, image)
                return lease_of(session, image, author.client, author.person, now_ms(), take)
        except IntegrityError as error:
            raise Conflict(f"photograph {image}: somebody else opened it at the same moment; ask again") from error

    def leave(self, image: int, author: Author) -> None:
        """Give a photograph back."""
        with self.database.writing() as session:
            self._image(session, image)
            give_back(session, image, author.client)

    # Labels

    def labels(self) -> list[LabelRow]:
        """In the order in which they were made."""
        query = select(LabelRow).where(LabelRow.project_id == self.project, ~LabelRow.hidden).order_by(LabelRow.id)
        with self.database.reading() as session:
            return list(session.scalars(query))

    def all_labels(self) -> dict[int, LabelRow]:
        """By number, hidden ones too: objects may still have them."""
        query = select(LabelRow).where(LabelRow.project_id == self.project)
        with self.database.reading() as session:
            return {row.id: row for row in session.scalars(query)}

    def add_label(self, name: str, colour: str | None = None, key: str | None = None) -> LabelRow:
        """A new label, or the one of this name as it is; its colour and key are chosen where they are not given."""
        name = " ".join(name.split())
        if not name:
            raise SaywhereError("label: the name is empty; give a word or two")
        with self.database.writing() as session:
            rows = list(session.scalars(select(LabelRow).where(LabelRow.project_id == self.project)))
            row = next((r for r in rows if r.name == name), None)
            if row is None:
                taken = {r.key for r in rows if not r.hidden}
                free = next((k for k in "1234567890" if k not in taken), "")
                colour = colour or COLOURS[len(rows) % len(COLOURS)]
                row = LabelRow(
                    project_id=self.project, name=name, colour=colour, key=free if key is None else key, hidden=False
                )
                session.add(row)
                session.flush()
            row.hidden = False
            return row

    def change_label(self, id: int, values: Mapping[str, Any]) -> LabelRow:
        """Give a label another name, colour or key, or hide it. Raises Conflict when the name is taken."""
        try:
            with self.database.writing() as session:
                row = session.get(LabelRow, id)
                if row is None or row.project_id != self.project:
                    raise Missing(f"label {id}: there is none in this project")
                for name, value in values.items():
                    setattr(row, name, value)
                return row
        except IntegrityError as error:
            raise Conflict(f"label: the name {values.get('name')!r} is taken; choose another") from error


def event_of(row: EventRow) -> Event:
    return Event(row.seq, row.kind, row.object, row.data, row.masked, row.score, row.area)
