"""The exports of a project: each has a number, and keeps its manifest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session, undefer

from saywhere.annotate.db.clock import now_ms
from saywhere.annotate.db.errors import NotFoundError
from saywhere.annotate.db.store import Store
from saywhere.annotate.db.tables import ExportRow


class ExportVersions:
    """The exports of one project. Any thread, and any server, may use it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def begin(self, person: str) -> int:
        """The number of a new export, whose manifest follows."""

        def add(session: Session) -> int:
            query = select(func.max(ExportRow.version)).where(ExportRow.project_id == self._store.project_id)
            version = (session.scalar(query) or 0) + 1
            session.add(
                ExportRow(
                    project_id=self._store.project_id, version=version, at=now_ms(), person=person, manifest={}
                )
            )  # fmt: skip
            return version

        return self._store.database.write(add)

    def finish(self, version: int, manifest: Mapping[str, Any]) -> None:
        """Keep the manifest of an export that was written."""
        with self._store.database.write_session() as session:
            session.execute(update(ExportRow).where(*self._is(version)).values(manifest=dict(manifest)))

    def drop(self, version: int) -> None:
        """Forget an export that could not be written."""
        with self._store.database.write_session() as session:
            session.execute(delete(ExportRow).where(*self._is(version)))

    def manifests(self, before: int | None = None, limit: int = 50) -> list[dict[str, Any]]:
        """The manifests of the latest exports, the last one first.

        Args:
            before: only those with a smaller number.
            limit: how many at most.
        """
        query = select(ExportRow).where(ExportRow.project_id == self._store.project_id)
        if before is not None:
            query = query.where(ExportRow.version < before)
        query = query.order_by(ExportRow.version.desc()).limit(limit).options(undefer(ExportRow.manifest))
        with self._store.database.read_session() as session:
            return [row.manifest for row in session.scalars(query) if row.manifest]

    def manifest(self, version: int) -> dict[str, Any]:
        """The manifest of one export; NotFoundError when there is none."""
        with self._store.database.read_session() as session:
            manifest = session.scalar(select(ExportRow.manifest).where(*self._is(version)))
        if not manifest:
            raise NotFoundError(f"export {version}: there is none in this project")
        return manifest

    def _is(self, version: int) -> tuple[Any, Any]:
        return ExportRow.project_id == self._store.project_id, ExportRow.version == version
