"""A project's labels: created, renamed, recoloured, merged and deleted, all of which can be undone.

Events name labels by their numbers and never change. A label that was merged into another one, or deleted, keeps its
row, hidden, and what its number means now is looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from saywhere.annotate.attributes import AttributeDefinition, missing_definitions, redefined
from saywhere.annotate.db.clock import now_ms
from saywhere.annotate.db.database import Database
from saywhere.annotate.db.errors import ConflictError, NotFoundError
from saywhere.annotate.db.tables import LabelAttributesRow, LabelChangeRow, LabelRow, ReplacedLabelRow
from saywhere.errors import SaywhereError

COLOURS = ("#1c7ed6", "#e8590c", "#2f9e44", "#9c36b5", "#e03131", "#0c8599", "#f08c00", "#6741d9", "#c2255c", "#5c940d")
FIELDS = ("name", "colour", "key", "hidden")
WITHOUT_ATTRIBUTES: Mapping[str, Any] = {"attributes": []}  # what changes that earlier versions stored do not say
MAX_NAME = 100


@dataclass(frozen=True)
class ChangedLabel:
    """A label after a change.

    Attributes:
        label: the label as it is now.
        change: number of the change, to undo it; None where nothing had to be changed.
    """

    label: LabelRow
    change: int | None


def clean_name(name: str) -> str:
    """A label's name without spaces around it, and with one between words. Raises SaywhereError when it is empty."""
    cleaned = " ".join(name.split())
    if not cleaned:
        raise SaywhereError("label: the name is empty; give a word or two")
    return cleaned


def definitions_of(row: LabelRow) -> list[AttributeDefinition]:
    """The definitions of the attributes of a label's objects."""
    return [AttributeDefinition.from_data(each) for each in row.attributes]


class LabelStore:
    """The labels of one project."""

    def __init__(self, database: Database, project_id: int) -> None:
        self._database, self._project_id = database, project_id

    # Queries

    def all(self) -> dict[int, LabelRow]:
        """The label that each number means now, oldest first: of a merged label the one that it was merged into.

        Hidden labels are among them, since objects may still have them; deleted ones are not.
        """
        with self._database.read_session() as session:
            rows, into = self._rows(session), _replacements(session)
        current = {id: _follow(id, into) for id in rows}
        return {id: rows[target] for id, target in current.items() if target is not None and target in rows}

    def replaced(self) -> dict[int, int | None]:
        """What each number means that is not a label any more: another number, or None where it was deleted."""
        with self._database.read_session() as session:
            into = _replacements(session)
        return {id: _follow(id, into) for id in into}

    def visible(self) -> list[LabelRow]:
        """Labels that are not hidden, oldest first."""
        return [row for id, row in self.all().items() if row.id == id and not row.hidden]

    def named(self, name: str) -> LabelRow | None:
        """The visible label of a name, whatever its spaces and capitals; the one that is spelled alike comes first."""
        cleaned = " ".join(name.split())
        alike = [row for row in self.visible() if row.name.casefold() == cleaned.casefold()]
        return min(alike, key=lambda row: row.name != cleaned, default=None)

    # Changes

    def add(
        self,
        name: str,
        colour: str | None = None,
        key: str | None = None,
        person: str = "",
        exact: bool = False,
        attributes: Sequence[tuple[AttributeDefinition, str | None]] = (),
    ) -> ChangedLabel:
        """A new label, or the one of this name as it is; colour and key are chosen where they are not given.

        Args:
            name: spaces around it are removed.
            colour: ``#rrggbb``.
            key: a digit, or nothing.
            person: who creates it.
            exact: whether a name that differs in capitals only is another label.
            attributes: definitions of its objects' attributes, as for :meth:`define`; a label that is there keeps
                its own.
        """
        name, defined = clean_name(name), redefined(attributes, [])

        def work(session: Session) -> ChangedLabel:
            rows = self._rows(session).values()
            same = [row for row in rows if row.name == name]
            if not same and not exact:
                same = [row for row in rows if row.name.casefold() == name.casefold() and not row.hidden]
            if same:
                row = same[0]
                if not row.hidden:
                    return ChangedLabel(row, None)
                before = _state(row, session)
            else:
                before = {}
                row = LabelRow(
                    project_id=self._project_id, name=name, colour=colour or COLOURS[len(rows) % len(COLOURS)],
                    key=self._free_key(session) if key is None else key, hidden=False,
                )  # fmt: skip
                session.add(row)
                session.flush()
                _define(row, [one.as_data() for one in defined])
            row.hidden = False
            return self._logged(session, row, before, person)

        return self._write(work, name)

    def change(self, id: int, values: Mapping[str, Any], person: str = "") -> ChangedLabel:
        """Give a label another name, colour or key, or hide it.

        Raises:
            NotFoundError: there is no such label.
            ConflictError: another label has the name.
        """
        values = {**values, "name": clean_name(values["name"])} if "name" in values else dict(values)
        name = values.get("name")

        def work(session: Session) -> ChangedLabel:
            row = self._row(session, id)
            before = _state(row, session)
            others = (one for one in self._rows(session).values() if one.id != id and not one.hidden)
            if name is not None and any(one.name.casefold() == name.casefold() for one in others):
                raise _taken(name)
            for field, value in values.items():
                if field == "attributes":
                    _define(row, [one.as_data() for one in redefined(value, definitions_of(row))])
                else:
                    setattr(row, field, value)
            return self._logged(session, row, before, person)

        return self._write(work, name)

    def define(
        self, id: int, attributes: Sequence[tuple[AttributeDefinition, str | None]], person: str = "",
        values: Mapping[str, Any] | None = None,
    ) -> ChangedLabel:  # fmt: skip
        """Define the attributes of a label's objects anew, in one change with other ``values`` as for :meth:`change`.

        Values that objects have stay: those of a renamed attribute under its new name, others as they are.

        Args:
            id: number of the label.
            attributes: all definitions in order, each with the name that it had before where that was another.
            person: who changes them.
            values: name, colour, key or hidden.

        Raises:
            NotFoundError: there is no such label.
            SaywhereError: a definition cannot be used.
        """
        return self.change(id, {**(values or {}), "attributes": attributes}, person)

    def define_missing(self, id: int, attributes: Sequence[AttributeDefinition], person: str = "") -> list[str]:
        """Add definitions whose names a label does not have yet, in one change; the names that were added."""
        row = self.all()[id]
        old = definitions_of(row)
        new = missing_definitions(attributes, old)
        if new:
            self.define(row.id, [(one, None) for one in (*old, *new)], person)
        return [one.name for one in new]

    def merge(self, id: int, into: int, person: str = "") -> ChangedLabel:
        """Make every object of a label one of another label; the first label ends.

        Raises:
            NotFoundError: there is no such label.
            SaywhereError: a label cannot be merged into itself.
        """

        def work(session: Session) -> ChangedLabel:
            target = self._row(session, into)
            if target.id == id:
                raise SaywhereError(f"label '{target.name}': cannot be merged into itself; choose another one")
            return self._end(session, self._row(session, id), target.id, person)

        return self._write(work)

    def delete(self, id: int, person: str = "") -> ChangedLabel:
        """Delete a label; its objects stay, without a label. Raises NotFoundError when there is no such label."""
        return self._write(lambda session: self._end(session, self._row(session, id), None, person))

    def undo(self, change: int) -> ChangedLabel:
        """Take a change back.

        Raises:
            NotFoundError: there is no such change.
            ConflictError: it is undone already, or the label was changed since, or its name was given to another.
        """
        return self._write(lambda session: self._switch(session, change, undo=True))

    def redo(self, change: int) -> ChangedLabel:
        """Do a change again that was undone; errors as for :meth:`undo`."""
        return self._write(lambda session: self._switch(session, change, undo=False))

    # How

    def _write(self, work: Callable[[Session], ChangedLabel], name: str | None = None) -> ChangedLabel:
        try:
            return self._database.write(work)
        except IntegrityError as error:
            raise _taken(name or "") from error

    def _rows(self, session: Session) -> dict[int, LabelRow]:
        query = select(LabelRow).where(LabelRow.project_id == self._project_id).order_by(LabelRow.id)
        return {row.id: row for row in session.scalars(query)}

    def _row(self, session: Session, id: int) -> LabelRow:
        """A label that has not ended."""
        row = session.get(LabelRow, id)
        if row is None or row.project_id != self._project_id or session.get(ReplacedLabelRow, id) is not None:
            raise NotFoundError(f"label {id}: there is none in this project")
        return row

    def _free_key(self, session: Session) -> str:
        taken = {row.key for row in self._rows(session).values() if not row.hidden}
        return next((key for key in "1234567890" if key not in taken), "")

    def _end(self, session: Session, row: LabelRow, into: int | None, person: str) -> ChangedLabel:
        before = _state(row, session)
        _end(session, row, into)
        return self._logged(session, row, before, person)

    def _logged(self, session: Session, row: LabelRow, before: dict[str, Any], person: str) -> ChangedLabel:
        session.flush()
        after = _state(row, session)
        if before == after:
            return ChangedLabel(row, None)
        change = LabelChangeRow(
            project_id=self._project_id, label_id=row.id, at=now_ms(), person=person, before=before, after=after
        )
        session.add(change)
        session.flush()
        return ChangedLabel(row, change.id)

    def _switch(self, session: Session, id: int, undo: bool) -> ChangedLabel:
        change = session.get(LabelChangeRow, id)
        if change is None or change.project_id != self._project_id:
            raise NotFoundError(f"change {id}: there is none in this project")
        row = session.get(LabelRow, change.label_id)
        before, after = (state and {**WITHOUT_ATTRIBUTES, **state} for state in (change.before, change.after))
        now, then = (after, before) if undo else (before, after)
        # A label whose creation is undone has ended: what it was before is nothing.
        present = {} if row is None or (not now and _has_ended(session, row)) else _state(row, session)
        if row is None or change.undone is undo or present != now:
            raise ConflictError(f"change {id}: the label was changed since; see the labels as they are now")
        self._restore(session, row, then)
        change.undone = undo
        session.flush()
        return ChangedLabel(row, change.id)

    def _restore(self, session: Session, row: LabelRow, state: Mapping[str, Any]) -> None:
        ended = session.get(ReplacedLabelRow, row.id)
        if ended is not None:
            session.delete(ended)
            session.flush()
        if not state:
            _end(session, row, None)
            return
        others = [one for one in self._rows(session).values() if one.id != row.id and not one.hidden]
        if not state["hidden"] and any(one.name.casefold() == state["name"].casefold() for one in others):
            raise _taken(state["name"])
        for field in FIELDS:
            setattr(row, field, state[field])
        _define(row, state["attributes"])
        if any(one.key == row.key for one in others):
            row.key = ""
        if state["ended"]:
            session.add(ReplacedLabelRow(label_id=row.id, into=state["into"]))


def _end(session: Session, row: LabelRow, into: int | None) -> None:
    session.add(ReplacedLabelRow(label_id=row.id, into=into))
    # The name is free again.
    row.name, row.hidden = f"{row.name[: MAX_NAME - 20]} (ended, {row.id})", True


def _define(row: LabelRow, attributes: Sequence[Mapping[str, Any]]) -> None:
    """Give a label its definitions of attributes."""
    if not attributes:
        row.defined = None
    elif row.defined is None:
        row.defined = LabelAttributesRow(label_id=row.id, data=[dict(each) for each in attributes])
    else:
        row.defined.data = [dict(each) for each in attributes]


def _state(row: LabelRow, session: Session) -> dict[str, Any]:
    """All of a label that a change can change."""
    ended = session.get(ReplacedLabelRow, row.id)
    fields = {field: getattr(row, field) for field in FIELDS}
    fields["attributes"] = row.attributes
    return {**fields, "ended": ended is not None, "into": None if ended is None else ended.into}


def _has_ended(session: Session, row: LabelRow) -> bool:
    return session.get(ReplacedLabelRow, row.id) is not None


def _replacements(session: Session) -> dict[int, int | None]:
    return {row.label_id: row.into for row in session.scalars(select(ReplacedLabelRow))}


def _follow(id: int, into: Mapping[int, int | None]) -> int | None:
    """What a number means after all merges; a circle, which another program may have made, means nothing."""
    seen: Sequence[int] = ()
    current: int | None = id
    while current is not None and current in into:
        if current in seen:
            return None
        seen, current = (*seen, current), into[current]
    return current


def _taken(name: str) -> ConflictError:
    return ConflictError(f"label: the name {name!r} is taken; choose another, or merge the two labels")
