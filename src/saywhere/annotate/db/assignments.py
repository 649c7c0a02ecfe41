"""Who is to annotate which image. Every change is kept with its person and time, and can be undone and redone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from saywhere.annotate.db.clock import now_ms
from saywhere.annotate.db.database import Database
from saywhere.annotate.db.errors import ConflictError, NotFoundError
from saywhere.annotate.db.tables import AssignmentChangeRow, AssignmentRow, ImageRow
from saywhere.errors import SaywhereError

IN_ONE_QUERY = 500  # numbers of images: databases limit the values of a query


def split_evenly(images: Sequence[int], persons: Sequence[str]) -> dict[int, str]:
    """A person for each image: neighbours stay together, and the numbers of images differ by one at most.

    Example:
        >>> split_evenly([1, 2, 3, 4, 5], ["Anna", "Ben"])
        {1: 'Anna', 2: 'Anna', 3: 'Anna', 4: 'Ben', 5: 'Ben'}
    """
    count, names = len(images), len(persons)
    sizes = [count // names + (i < count % names) for i in range(names)]
    order = [name for name, size in zip(persons, sizes, strict=True) for _ in range(size)]
    return dict(zip(images, order, strict=True))


class AssignmentStore:
    """The assignments of one project."""

    def __init__(self, database: Database, project_id: int) -> None:
        self._database, self._project_id = database, project_id

    def all(self) -> dict[int, str]:
        """The person of each image that is assigned."""
        query = select(AssignmentRow).join(ImageRow, ImageRow.id == AssignmentRow.image_id)
        with self._database.read_session() as session:
            rows = session.scalars(query.where(ImageRow.project_id == self._project_id))
            return {row.image_id: row.person for row in rows}

    def assign(self, images: Sequence[int], persons: Sequence[str], by: str) -> int | None:
        """Assign images evenly to persons, or to nobody where ``persons`` is empty.

        Args:
            images: numbers of images, in order.
            persons: names.
            by: who assigns.

        Returns:
            The number of the change, to undo it; None where nothing had to be changed.

        Raises:
            NotFoundError: an image is not in this project.
            SaywhereError: no image or a name is given twice.
        """
        names = [" ".join(name.split()) for name in persons]
        if not images or len(set(images)) < len(images):
            raise SaywhereError("assign: give images, each once")
        if not all(names):
            raise SaywhereError("assign: a name is empty; give a word or two")
        if len({name.casefold() for name in names}) < len(names):
            raise SaywhereError("assign: give each name once")
        assigned: Mapping[int, str | None] = split_evenly(images, names) if names else dict.fromkeys(images)

        def work(session: Session) -> int | None:
            there = self._current(session, images)
            missing = [image for image in images if image not in there]
            if missing:
                raise NotFoundError(f"image {missing[0]}: there is none in this project")
            before = {image: person for image, person in there.items() if person != assigned[image]}
            if not before:
                return None
            after = {image: assigned[image] for image in before}
            _store(session, after)
            change = AssignmentChangeRow(
                project_id=self._project_id, at=now_ms(), person=by, before=_as_data(before), after=_as_data(after)
            )
            session.add(change)
            session.flush()
            return change.id

        return self._database.write(work)

    def undo(self, change: int) -> None:
        """Take a change back.

        Raises:
            NotFoundError: there is no such change.
            ConflictError: it is undone already, or an image was assigned anew since.
        """
        self._database.write(lambda session: self._switch(session, change, undo=True))

    def redo(self, change: int) -> None:
        """Do a change again that was undone; errors as for :meth:`undo`."""
        self._database.write(lambda session: self._switch(session, change, undo=False))

    def _switch(self, session: Session, id: int, undo: bool) -> None:
        change = session.get(AssignmentChangeRow, id)
        if change is None or change.project_id != self._project_id:
            raise NotFoundError(f"assignment {id}: there is none in this project")
        before, after = _from_data(change.before), _from_data(change.after)
        now, then = (after, before) if undo else (before, after)
        there = self._current(session, list(now))
        if change.undone is undo or any(there.get(image) != person for image, person in now.items()):
            raise ConflictError(f"assignment {id}: images were assigned anew since; see the list as it is now")
        _store(session, then)
        change.undone = undo

    def _current(self, session: Session, images: Sequence[int]) -> dict[int, str | None]:
        """The person of each of some images that are in the project; None for those that are nobody's."""
        found: dict[int, str | None] = {}
        for first in range(0, len(images), IN_ONE_QUERY):
            query = select(ImageRow.id, AssignmentRow.person).outerjoin(
                AssignmentRow, AssignmentRow.image_id == ImageRow.id
            )
            some = images[first : first + IN_ONE_QUERY]
            query = query.where(ImageRow.project_id == self._project_id, ImageRow.id.in_(some))
            found |= {id: person for id, person in session.execute(query)}
        return found


def _store(session: Session, persons: Mapping[int, str | None]) -> None:
    images = list(persons)
    for first in range(0, len(images), IN_ONE_QUERY):
        some = images[first : first + IN_ONE_QUERY]
        session.execute(delete(AssignmentRow).where(AssignmentRow.image_id.in_(some)))
    session.add_all(AssignmentRow(image_id=image, person=name) for image, name in persons.items() if name is not None)


def _as_data(persons: Mapping[int, str | None]) -> dict[str, str | None]:
    return {str(image): person for image, person in persons.items()}


def _from_data(data: Mapping[str, str | None]) -> dict[int, str | None]:
    return {int(image): person for image, person in data.items()}
