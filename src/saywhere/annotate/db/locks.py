"""Edit locks: who opened an image holds it for a while, so that two people never edit it at once without knowing.

The table is called ``saywhere_lease`` since the first version of the database.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete
from sqlalchemy.orm import Session

from saywhere.annotate.db.tables import LeaseRow
from saywhere.errors import SaywhereError

DURATION_MS = 45_000  # a page renews its lock every 15 seconds


class ImageLockedError(SaywhereError):
    """Somebody else is editing the image. ``holder`` is the name they go by."""

    def __init__(self, image: int, holder: str) -> None:
        super().__init__(f"image {image}: {holder} is editing it now; take it over, or continue with another one")
        self.holder = holder


@dataclass(frozen=True, slots=True)
class EditLock:
    """Who is editing an image.

    Args:
        client: name of the page or program.
        person: name of the person.
        until: when the lock ends unless it is renewed, in ms since 1970.
    """

    client: str
    person: str
    until: int


def current_lock(session: Session, image: int, now: int) -> EditLock | None:
    """The lock on an image at the time ``now`` (ms since 1970), if there is one.

    One that would last longer than a lock can was stored before the clock was set back: it has ended.
    """
    row = session.get(LeaseRow, image)
    if row is None or not now < row.until <= now + DURATION_MS:
        return None
    return EditLock(row.client, row.person, row.until)


def acquire_lock(session: Session, image: int, client: str, person: str, now: int, take: bool = False) -> EditLock:
    """Acquire or renew a lock, in a writing session.

    Args:
        session: a session that writes.
        image: number of the image.
        client: name of the page or program that asks.
        person: name of the person.
        now: ms since 1970.
        take: whether to take the lock over from another page.

    Raises:
        ImageLockedError: when another page holds it and ``take`` is not set.
    """
    lock = current_lock(session, image, now)
    if lock is not None and lock.client != client and not take:
        raise ImageLockedError(image, lock.person)
    session.merge(LeaseRow(image_id=image, client=client, person=person, until=now + DURATION_MS))
    return EditLock(client, person, now + DURATION_MS)


def release_lock(session: Session, image: int, client: str) -> None:
    """End a lock; does nothing when somebody else holds it."""
    session.execute(delete(LeaseRow).where(LeaseRow.image_id == image, LeaseRow.client == client))
