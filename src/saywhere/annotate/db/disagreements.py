"""The disagreement of images, stored once it was computed: it needs their masks."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from saywhere.annotate.db.database import Database
from saywhere.annotate.db.tables import DisagreementRow, ImageRow


def disagreements(
    database: Database, rows: Sequence[ImageRow], compute: Callable[[ImageRow], float | None]
) -> dict[int, float | None]:
    """The disagreement of images by their numbers.

    Args:
        database: where those that are known are stored.
        rows: the images.
        compute: that of an image which was changed since, or never computed.
    """
    known = dict(_known(database, [row.id for row in rows]))
    fresh = {row.id: (row.seq, compute(row)) for row in rows if known.get(row.id, (None,))[0] != row.seq}
    if fresh:

        def store(session: Session) -> None:
            for id, (seq, value) in fresh.items():
                session.merge(DisagreementRow(image_id=id, seq=seq, value=value))

        database.write(store)
    return {row.id: fresh[row.id][1] if row.id in fresh else known[row.id][1] for row in rows}


def _known(database: Database, images: Sequence[int]) -> Iterable[tuple[int, tuple[int, float | None]]]:
    with database.read_session() as session:
        for first in range(0, len(images), 500):
            query = select(DisagreementRow).where(DisagreementRow.image_id.in_(images[first : first + 500]))
            for row in session.scalars(query):
                yield row.image_id, (row.seq, row.value)
