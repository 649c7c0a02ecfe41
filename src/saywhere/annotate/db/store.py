"""Queries of the tables. One Store is one project; any number of threads may use it."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from saywhere.annotate.db.assignments import AssignmentStore
from saywhere.annotate.db.clock import now_ms
from saywhere.annotate.db.database import Database
from saywhere.annotate.db.errors import ConflictError as ConflictError
from saywhere.annotate.db.errors import NotFoundError as NotFoundError
from saywhere.annotate.db.labels import LabelStore
from saywhere.annotate.db.locks import EditLock, acquire_lock, current_lock, release_lock
from saywhere.annotate.db.projects import find_project
from saywhere.annotate.db.renames import find_renamed
from saywhere.annotate.db.summaries import ImageSummary, load_summaries, store_summary, summarise
from saywhere.annotate.db.tables import AssignmentRow, EventRow, ImageRow, LabelRow, LeaseRow
from saywhere.annotate.events import JOINED, Event, EventHistory
from saywhere.annotate.image_folder import ImageFolder
from saywhere.core.geometry import ImageSize

MAX_HISTORIES = 32  # images whose events stay in memory


@dataclass(frozen=True, slots=True)
class Author:
    """Who sends a request: a page or program (``client``) and the name of its person."""

    client: str
    person: str


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event to be stored, with the results of the action.

    Args:
        kind: the action's kind.
        object: number of the object it is done to, if any.
        data: the action's other fields.
        mask: COCO's compressed run lengths of the object after the event, where it changes the mask.
        score: predicted IoU of the mask.
        area: pixels of the mask.
        weights: hash of the weights that made the mask.
        spent_ms: time that the server took.
        took_ms: time that the person took.
    """

    kind: str
    object: int | None
    data: Mapping[str, Any]
    mask: bytes | None = None
    score: float | None = None
    area: int | None = None
    weights: str | None = None
    spent_ms: float | None = None
    took_ms: int | None = None

    def row(self, image: int, seq: int, key: str, author: Author, at: int) -> EventRow:
        """The row that stores it."""
        return EventRow(
            image_id=image, seq=seq, key=key, at=at, person=author.person, client=author.client, kind=self.kind,
            object=self.object, data=dict(self.data), weights=self.weights, spent_ms=self.spent_ms,
            took_ms=self.took_ms, score=self.score, area=self.area, masked=self.mask is not None, mask=self.mask,
        )  # fmt: skip


class Store:
    """A project's images, labels and events.

    Attributes:
        project_id: number of the project that belongs to the folder.
        notes: what a person should know of how it was found.
        labels: the project's labels.
        assignments: whose images are whose.
    """

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self._histories: OrderedDict[int, EventHistory] = OrderedDict()
        self._lock = threading.Lock()
        found = find_project(database, ImageFolder(folder))
        self.project_id, self.notes = found.id, found.notes
        self.labels = LabelStore(database, self.project_id)
        self.assignments = AssignmentStore(database, self.project_id)

    # Images

    def sync_images(self, paths: Sequence[str], folder: ImageFolder | None = None) -> dict[str, str]:
        """Add the images that are new in the folder; those that are gone stay, marked missing.

        Args:
            paths: the images that are there.
            folder: where they are; annotated images that were renamed are recognised by their files' hashes there.

        Returns:
            The new paths of renamed images by their old ones.
        """
        # Files are read before the database is locked for writing.
        renamed = {} if folder is None else self._find_renamed(set(paths), folder)
        return self.database.write(lambda session: self._sync_images(session, paths, renamed))

    def _find_renamed(self, present: set[str], folder: ImageFolder) -> dict[int, str]:
        """Where annotated images are now that are not at their paths: by the number of the image."""
        with self.database.read_session() as session:
            rows = list(session.scalars(select(ImageRow).where(ImageRow.project_id == self.project_id)))
        missing = [row for row in rows if row.path not in present and row.seq > 0]
        if not missing:
            return {}
        # A file may be in the list as a new image because it was renamed while an earlier version was running.
        annotated = {row.path for row in rows if row.seq > 0}
        return find_renamed(missing, sorted(present - annotated), folder)

    def _sync_images(self, session: Session, paths: Sequence[str], renamed: Mapping[int, str]) -> dict[str, str]:
        if session.get_bind().dialect.name == "postgresql":
            # Two servers that list the same folder at once must not both add its images.
            session.connection().execute(select(func.pg_advisory_xact_lock(7298, self.project_id)))
        rows = session.scalars(select(ImageRow).where(ImageRow.project_id == self.project_id))
        known = {row.path: row for row in rows}
        by_id, moved = {row.id: row for row in known.values()}, {}
        for id, path in renamed.items():
            row, other = by_id.get(id), known.get(path)
            if row is None or row is other or (other is not None and other.seq > 0):
                continue  # another server has changed it meanwhile
            if other is not None:
                session.execute(delete(LeaseRow).where(LeaseRow.image_id == other.id))
                session.execute(delete(AssignmentRow).where(AssignmentRow.image_id == other.id))
                session.delete(other)
                session.flush()
            moved[row.path] = path
            del known[row.path]
            known[path], row.path, row.fault = row, path, None
        present = set(paths)
        session.add_all(ImageRow(project_id=self.project_id, path=path) for path in paths if path not in known)
        for path, row in known.items():
            row.missing = path not in present
        return moved

    def list_images(
        self, status: str | None = None, search: str | None = None, offset: int = 0, limit: int = 1000
    ) -> tuple[int, list[ImageRow]]:
        """Images by path: how many match, and ``limit`` of them from ``offset`` on.

        Args:
            status: new, started, done or skipped; None for all.
            search: a part of the path, upper and lower case alike.
            offset: how many to leave out.
            limit: how many to return at most.
        """
        query = select(ImageRow).where(ImageRow.project_id == self.project_id)
        if status:
            query = query.where(ImageRow.state == status)
        if search:
            query = query.where(func.lower(ImageRow.path).contains(search.lower(), autoescape=True))
        with self.database.read_session() as session:
            total = session.scalar(select(func.count()).select_from(query.subquery())) or 0
            rows = session.scalars(query.order_by(ImageRow.path, ImageRow.id).offset(offset).limit(limit))
            return total, list(rows)

    def count_images(self) -> dict[str, int]:
        """Number of images by status."""
        query = select(ImageRow.state, func.count()).where(ImageRow.project_id == self.project_id)
        with self.database.read_session() as session:
            return {status: count for status, count in session.execute(query.group_by(ImageRow.state))}

    def image(self, id: int) -> ImageRow:
        """An image of this project; NotFoundError when there is none."""
        with self.database.read_session() as session:
            return self._image(session, id)

    def _image(self, session: Session, id: int) -> ImageRow:
        row = session.get(ImageRow, id)
        if row is None or row.project_id != self.project_id:
            raise NotFoundError(f"image {id}: there is none in this project")
        return row

    def record_file(self, id: int, size: ImageSize | None, sha256: str | None, fault: str | None) -> None:
        """Store the result of loading an image: its size and hash, or why it could not be read."""
        values: dict[str, Any] = {"fault": fault}
        if size is not None:
            values |= {"height": size.height, "width": size.width, "sha256": sha256}
        with self.database.write_session() as session:
            session.execute(update(ImageRow).where(ImageRow.id == id).values(values))

    # Events

    def history(self, image: int) -> EventHistory:
        """An image's events and state as they are now. Only events that are not in memory yet are read and applied."""
        with self._lock:
            history = self._histories.get(image, EventHistory())
        with self.database.read_session() as session:
            last = session.scalar(select(ImageRow.seq).where(ImageRow.id == image)) or 0
            if last < history.state.seq:
                history = EventHistory()  # an older database was put back under the running server
            query = select(EventRow).where(EventRow.image_id == image, EventRow.seq > history.state.seq)
            events = [event_from_row(row) for row in session.scalars(query.order_by(EventRow.seq))]
        if events:
            history = history.extended(events)
        self._keep(image, history)
        return history

    def _keep(self, image: int, history: EventHistory) -> None:
        with self._lock:
            self._histories[image] = history  # should another thread have read further, the next reader does so again
            self._histories.move_to_end(image)
            while len(self._histories) > MAX_HISTORIES:
                self._histories.popitem(last=False)

    def load_masks(self, image: int, events: Iterable[int]) -> dict[int, bytes]:
        """Compressed run lengths of masks, by the numbers of the events that they are stored with."""
        numbers = list(events)
        if not numbers:
            return {}
        query = select(EventRow.seq, EventRow.mask).where(EventRow.image_id == image, EventRow.seq.in_(numbers))
        with self.database.read_session() as session:
            return {seq: mask for seq, mask in session.execute(query) if mask is not None}

    def has_event(self, image: int, key: str) -> bool:
        """Whether the action with this key is stored already."""
        with self.database.read_session() as session:
            query = select(EventRow.seq).where(EventRow.image_id == image, EventRow.key == key)
            return session.scalar(query) is not None

    def append_events(
        self, image: int, history: EventHistory, key: str, author: Author, events: Sequence[NewEvent]
    ) -> EventHistory:
        """Store the events of one action, all or none: on return they are on the disk.

        Args:
            image: number of the image.
            history: the image's events up to now, as :meth:`history` gave them.
            key: the action's key.
            author: who sent the action.
            events: what to store, in order; at least one. One undo takes all of them back.

        Returns:
            The history with the events.

        Raises:
            ConflictError: when ``history`` does not end with the image's last event; nothing is stored.
            ImageLockedError: when somebody else holds the image's lock; nothing is stored.
        """
        base, at = history.state.seq, now_ms()

        def store(session: Session) -> EventHistory:
            rows = [
                event.row(image, base + 1 + n, event_key(key, n), author, at) for n, event in enumerate(joined(events))
            ]
            extended = history.extended([event_from_row(row) for row in rows])
            acquire_lock(session, image, author.client, author.person, at)
            image_row = self._image(session, image)
            if image_row.seq != base:
                raise ConflictError(f"image {image}: changed since (now {image_row.seq}, seen {base}); load it again")
            session.add_all(rows)
            image_row.seq, image_row.state = extended.state.seq, extended.state.status
            image_row.objects = len(extended.state.objects)
            store_summary(session, image, extended.state, summarise(extended.state, at))
            return extended

        extended = self.database.write(store)
        self._keep(image, extended)
        return extended

    def summaries(self, images: Iterable[int] | None = None) -> dict[int, ImageSummary]:
        """The summaries of images that were worked on, by number; of all where ``images`` is None."""
        with self.database.read_session() as session:
            found = load_summaries(session, self.project_id, lambda image: self.history(image).state, images)
        replaced = self.labels.replaced()
        return {id: one.with_labels(replaced) for id, one in found.items()} if replaced else found

    def label_usage(self, label: int) -> tuple[int, int]:
        """How many images have objects of a label now, and how many objects that are."""
        counts = [one.labels.get(label, 0) for one in self.summaries().values()]
        return sum(count > 0 for count in counts), sum(counts)

    def images_with_data(self) -> set[int]:
        """Numbers of images of which an imported file said more than their objects."""
        query = select(EventRow.image_id).join(ImageRow, ImageRow.id == EventRow.image_id)
        with self.database.read_session() as session:
            kinds = query.where(ImageRow.project_id == self.project_id, EventRow.kind == "image-data")
            return set(session.scalars(kinds.distinct()))

    # Edit locks

    def lock_image(self, image: int, author: Author, take: bool) -> EditLock:
        """Lock an image for a while. Raises ImageLockedError when somebody else holds it, unless ``take``."""

        def lock(session: Session) -> EditLock:
            self._image(session, image)
            return acquire_lock(session, image, author.client, author.person, now_ms(), take)

        return self.database.write(lock)

    def unlock_image(self, image: int, author: Author) -> None:
        """Release an image's lock."""
        with self.database.write_session() as session:
            self._image(session, image)
            release_lock(session, image, author.client)

    def holds_lock(self, image: int, author: Author) -> bool:
        """Whether the author's page or program holds an image's lock now."""
        with self.database.read_session() as session:
            lock = current_lock(session, image, now_ms())
        return lock is not None and lock.client == author.client

    def other_holder(self, image: int, author: Author) -> str | None:
        """The name of somebody else who is editing an image now."""
        with self.database.read_session() as session:
            lock = current_lock(session, image, now_ms())
        return lock.person if lock is not None and lock.client != author.client else None

    # Labels

    def visible_labels(self) -> list[LabelRow]:
        """Labels that are not hidden, oldest first."""
        return self.labels.visible()

    def all_labels(self) -> dict[int, LabelRow]:
        """The label that each number means now; see :meth:`LabelStore.all`."""
        return self.labels.all()

    def add_label(self, name: str, colour: str | None = None, key: str | None = None) -> LabelRow:
        """A new label, or the one of this name; see :meth:`LabelStore.add`."""
        return self.labels.add(name, colour, key).label


def event_key(key: str, number: int) -> str:
    """The key of one of an action's events: the action's own for the first, one made of it for each further."""
    return key if number == 0 else hashlib.sha256(f"{key} {number}".encode()).hexdigest()[:40]


def joined(events: Sequence[NewEvent]) -> list[NewEvent]:
    """The events of one action, with the mark of all but the first in their data."""
    return [event if n == 0 else replace(event, data={**event.data, JOINED: True}) for n, event in enumerate(events)]


def event_from_row(row: EventRow) -> Event:
    """An event without its mask."""
    return Event(row.seq, row.kind, row.object, row.data, row.masked, row.score, row.area, row.person, row.at)
