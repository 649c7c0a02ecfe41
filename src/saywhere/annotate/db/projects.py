"""Which project of a database belongs to a folder of images: its path may have changed since, its images stay.

A project is found by the path of its folder; where that is another one now, by the hashes of its annotated images. The
database in the folder itself (``.saywhere``) moves and is copied with it, so its project is that of the folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from saywhere.annotate.db.database import Database, default_database_url
from saywhere.annotate.db.renames import find_renamed
from saywhere.annotate.db.tables import (  # fmt: skip
    AssignmentRow,
    ExportRow,
    ImageRow,
    LabelAttributesRow,
    LabelChangeRow,
    LabelRow,
    LeaseRow,
    ProjectRow,
    ReplacedLabelRow,
)
from saywhere.annotate.image_folder import ImageFolder
from saywhere.errors import SaywhereError

MAX_COMPARED = 40  # annotated images whose files are read to recognise a project
MAX_SEARCHED = 500  # files among which images with other names are searched


@dataclass(frozen=True)
class FoundProject:
    """The project of a folder.

    Attributes:
        id: its number.
        notes: what a person should know of how it was found, a line each.
    """

    id: int
    notes: tuple[str, ...] = ()


class _HashedFolder(ImageFolder):
    """A folder that reads each file once, however many projects are compared with it."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.digest = lru_cache(None)(super().digest)  # type: ignore[method-assign]
        self.header = lru_cache(None)(super().header)  # type: ignore[method-assign]


def find_project(database: Database, folder: ImageFolder) -> FoundProject:
    """The project of a folder in a database; a new one where there is none."""
    folder = _HashedFolder(folder.root)
    with database.read_session() as session:
        projects = list(session.scalars(select(ProjectRow).order_by(ProjectRow.id)))
        annotated = {project.id: _annotated_images(session, project) for project in projects}
    own = next((project for project in projects if project.folder == str(folder.root)), None)
    others = [project for project in projects if project is not own and annotated[project.id]]
    if own is not None and annotated[own.id]:
        return FoundProject(own.id, _lost_notes(others, annotated, folder))
    moved, copied = _recognise(projects, others, annotated, database, folder)
    if moved is not None:
        with database.write_session() as session:
            _move(session, moved, folder.root, None if own is None else own.id)
        return FoundProject(moved.id, (f"continuing the annotations of '{moved.folder}', which had these images",))
    with database.write_session() as session:
        query = select(ProjectRow).where(ProjectRow.folder == str(folder.root))
        row = session.scalars(query).one_or_none()
        if row is None:
            row = ProjectRow(folder=str(folder.root))
            session.add(row)
            session.flush()
        notes = [
            f"images of this folder are annotated in this database as '{project.folder}'; annotate that folder to "
            "continue there"
            for project in copied
        ]
        return FoundProject(row.id, tuple(notes))


def _annotated_images(session: Session, project: ProjectRow) -> list[ImageRow]:
    query = select(ImageRow).where(ImageRow.project_id == project.id, ImageRow.seq > 0).order_by(ImageRow.path)
    return list(session.scalars(query))


def _recognise(
    projects: Sequence[ProjectRow],
    others: Sequence[ProjectRow],
    annotated: dict[int, list[ImageRow]],
    database: Database,
    folder: ImageFolder,
) -> tuple[ProjectRow | None, list[ProjectRow]]:
    """The project whose folder was moved here, if any; and those with the same images whose folders are still there."""
    candidates = [project for project in projects if project.folder != str(folder.root)]
    # Another folder may have used this database by --database: that one has none of its own.
    possible = others or candidates
    if _lies_in(database, folder) and len(possible) == 1 and _is_left(Path(possible[0].folder)):
        return possible[0], []
    copied = []
    for project in sorted(others, key=lambda project: -len(annotated[project.id])):
        if not _has_images(folder, annotated[project.id]):
            continue
        if _still_has_images(Path(project.folder), annotated[project.id]):
            copied.append(project)
        else:
            return project, []
    return None, copied


def _lies_in(database: Database, folder: ImageFolder) -> bool:
    """Whether a database is the folder's own file, which moves with it."""
    if database.url.get_backend_name() != "sqlite":
        return False
    own = default_database_url(folder.root).database
    return Path(str(database.url.database)).resolve() == Path(str(own)).resolve()


def _is_left(place: Path) -> bool:
    """Whether a project's folder is gone, or has a database of its own because this one is a copy of it."""
    return not place.is_dir() or Path(str(default_database_url(place).database)).is_file()


def _still_has_images(place: Path, images: Sequence[ImageRow]) -> bool:
    try:
        return _has_images(ImageFolder(place), images)
    except (SaywhereError, OSError):
        return False


def _has_images(folder: ImageFolder, images: Sequence[ImageRow]) -> bool:
    """Whether most of these images lie in a folder, under whatever names."""
    known = [row for row in images if row.sha256 is not None][:MAX_COMPARED]
    in_place, missing = 0, []
    for row in known:
        try:
            same = folder.digest(row.path) == row.sha256
        except SaywhereError:
            same = False
        if same:
            in_place += 1
        else:
            missing.append(row)
    if 2 * in_place < len(known):
        in_place += len(find_renamed(missing, folder.list_paths()[:MAX_SEARCHED], folder))
    return bool(known) and 2 * in_place >= len(known)


def _lost_notes(
    others: Sequence[ProjectRow], annotated: dict[int, list[ImageRow]], folder: ImageFolder
) -> tuple[str, ...]:
    """Work on the same images under a path that is not there any more: it cannot be joined, but is not hidden."""
    return tuple(
        f"this database also has annotations of {len(annotated[project.id]):,} of these images from "
        f"'{project.folder}', which is not there any more; put a copy of this folder there and annotate it to see them"
        for project in others
        if not Path(project.folder).is_dir() and _has_images(folder, annotated[project.id])
    )


def _move(session: Session, project: ProjectRow, place: Path, unused: int | None) -> None:
    """Give a project the path of its folder; an ``unused`` project that has this path, without annotations, ends."""
    if unused is not None:
        names = select(LabelRow.name).where(LabelRow.project_id == project.id)
        of_unused = LabelRow.project_id == unused
        ends = list(session.scalars(select(LabelRow.id).where(of_unused, LabelRow.name.in_(names))))
        for table in (ReplacedLabelRow, LabelChangeRow, LabelAttributesRow):
            session.execute(delete(table).where(table.label_id.in_(ends)))
        session.execute(delete(LabelRow).where(LabelRow.id.in_(ends)))
        changes = update(LabelChangeRow).where(LabelChangeRow.project_id == unused)
        session.execute(changes.values(project_id=project.id))
        session.execute(update(LabelRow).where(of_unused).values(project_id=project.id))
        images = select(ImageRow.id).where(ImageRow.project_id == unused)
        session.execute(delete(LeaseRow).where(LeaseRow.image_id.in_(images)))
        session.execute(delete(AssignmentRow).where(AssignmentRow.image_id.in_(images)))
        session.execute(delete(ImageRow).where(ImageRow.project_id == unused))
        session.execute(delete(ExportRow).where(ExportRow.project_id == unused))
        session.execute(delete(ProjectRow).where(ProjectRow.id == unused))
    session.execute(update(ProjectRow).where(ProjectRow.id == project.id).values(folder=str(place)))
