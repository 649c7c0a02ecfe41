"""Two people never work on one photograph at once without knowing: who opened it holds it for a while."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from saywhere.annotate.db.tables import LeaseRow
from saywhere.errors import SaywhereError

LASTS_MS = 45_000  # a page renews it every 15 seconds


class Held(SaywhereError):
    """Somebody else works on the photograph. ``holder`` is the name they go by."""

    def __init__(self, image: int, holder: str) -> None:
        super().__init__(f"photograph {image}: {holder} works on it now; take it over, or go on with another one")
        self.holder = holder


@dataclass(frozen=True, slots=True)
class Lease:
    """Who holds a photograph, until when (ms since 1970)."""

    client: str
    person: str
    until: int


def holder_of(session: Session, image: int, now: int) -> Lease | None:
    """Who works on a photograph at this moment, if anybody."""
    row = session.get(LeaseRow, image)
    return Lease(row.client, row.person, row.until) if row is not None and row.until > now else None


def lease_of(session: Session, image: int, client: str, person: str, now: int, take: bool = False) -> Lease:
    """Take or renew a lease, in a writing session. Raises Held when another page has it and ``take`` is not set."""
    holder = holder_of(session, image, now)
    if holder is not None and holder.client != client and not take:
        raise Held(image, holder.person)
    session.merge(LeaseRow(image_id=image, client=client, person=person, until=now + LASTS_MS))
    return Lease(client, person, now + LASTS_MS)


def give_back(session: Session, image: int, client: str) -> None:
    """End a lease; nothing happens when somebody else has it."""
    session.execute(delete(LeaseRow).where(LeaseRow.image_id == image, LeaseRow.client == client))
