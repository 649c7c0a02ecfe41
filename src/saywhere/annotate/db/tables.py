"""The tables. Events are only ever added; an image's status is stored with it so that the list need not replay.

Names of tables and columns are those of databases on disk: they are not renamed.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, ForeignKey, Index, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, deferred, mapped_column, relationship

VERSION = 1  # of these tables; a database of a newer one is refused


class Base(DeclarativeBase):
    """All tables of the annotator."""


class SchemaRow(Base):
    """One row: the version that made the database."""

    __tablename__ = "saywhere_schema"

    version: Mapped[int] = mapped_column(primary_key=True)


class ProjectRow(Base):
    """A folder of images."""

    __tablename__ = "saywhere_project"

    id: Mapped[int] = mapped_column(primary_key=True)
    folder: Mapped[str] = mapped_column(Text, unique=True)


class LabelRow(Base):
    """A label of a project, with its colour (``#rrggbb``) and key; ``hidden`` once nobody should use it any more."""

    __tablename__ = "saywhere_label"
    __table_args__ = (UniqueConstraint("project_id", "name"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("saywhere_project.id"))
    name: Mapped[str] = mapped_column(String(100))
    colour: Mapped[str] = mapped_column(String(7))
    key: Mapped[str] = mapped_column(String(1), default="")
    hidden: Mapped[bool] = mapped_column(default=False)
    defined: Mapped[LabelAttributesRow | None] = relationship(lazy="joined", cascade="all, delete-orphan")

    @property
    def attributes(self) -> list[dict[str, Any]]:
        """The definitions of its objects' attributes; see :class:`saywhere.annotate.attributes.AttributeDefinition`."""
        return [] if self.defined is None else list(self.defined.data)


class LabelAttributesRow(Base):
    """The definitions of the attributes of a label's objects, in order; a label without any has no row."""

    __tablename__ = "saywhere_label_attributes"

    label_id: Mapped[int] = mapped_column(ForeignKey("saywhere_label.id"), primary_key=True)
    data: Mapped[list[dict[str, Any]]] = mapped_column(JSON)


class ReplacedLabelRow(Base):
    """A label that was merged into another one, or deleted where ``into`` is null: objects' events still name it."""

    __tablename__ = "saywhere_replaced_label"

    label_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    into: Mapped[int | None]


class LabelChangeRow(Base):
    """A change of a label, with what it was and what it became, so that it can be undone and redone."""

    __tablename__ = "saywhere_label_change"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(index=True)
    label_id: Mapped[int]
    at: Mapped[int] = mapped_column(BigInteger)
    person: Mapped[str] = mapped_column(String(100))
    before: Mapped[dict[str, Any]] = mapped_column(JSON)
    after: Mapped[dict[str, Any]] = mapped_column(JSON)
    undone: Mapped[bool] = mapped_column(default=False)


class ImageRow(Base):
    """An image: ``path`` below the folder. Size and hash, or else its ``fault``, are known once it was loaded."""

    __tablename__ = "saywhere_image"
    __table_args__ = (UniqueConstraint("project_id", "path"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("saywhere_project.id"), index=True)
    path: Mapped[str] = mapped_column(Text)
    missing: Mapped[bool] = mapped_column(default=False)
    width: Mapped[int | None]
    height: Mapped[int | None]
    sha256: Mapped[str | None] = mapped_column(String(64))
    fault: Mapped[str | None] = mapped_column(Text)
    # The result of replaying its events.
    seq: Mapped[int] = mapped_column(default=0)
    state: Mapped[str] = mapped_column(String(8), default="new")
    objects: Mapped[int] = mapped_column(default=0)


class EventRow(Base):
    """An action of a person. ``key`` is unique to it, so that it is never done twice; ``at`` is ms since 1970."""

    __tablename__ = "saywhere_event"
    __table_args__ = (UniqueConstraint("image_id", "seq"), UniqueConstraint("image_id", "key"))

    id: Mapped[int] = mapped_column(primary_key=True)
    image_id: Mapped[int] = mapped_column(ForeignKey("saywhere_image.id"))
    seq: Mapped[int]
    key: Mapped[str] = mapped_column(String(64))
    at: Mapped[int] = mapped_column(BigInteger)
    person: Mapped[str] = mapped_column(String(100))
    client: Mapped[str] = mapped_column(String(64))
    kind: Mapped[str] = mapped_column(String(16))
    object: Mapped[int | None]
    data: Mapped[dict[str, Any]] = mapped_column(JSON)
    weights: Mapped[str | None] = mapped_column(String(64))
    took_ms: Mapped[int | None]
    spent_ms: Mapped[float | None]
    score: Mapped[float | None]
    area: Mapped[int | None] = mapped_column(BigInteger)
    masked: Mapped[bool] = mapped_column(default=False)
    # COCO's compressed run lengths of the object after this event. Large, so loaded only on request.
    mask: Mapped[bytes | None] = deferred(mapped_column(LargeBinary))


class ImageSummaryRow(Base):
    """What the list of images shows and sorts by besides: ``data`` after event ``seq``, the last one at ``at``."""

    __tablename__ = "saywhere_image_summary"

    image_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int]
    at: Mapped[int] = mapped_column(BigInteger)
    data: Mapped[dict[str, Any]] = mapped_column(JSON)


class AssignmentRow(Base):
    """Whose image it is; an image without a row is nobody's."""

    __tablename__ = "saywhere_assignment"

    image_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    person: Mapped[str] = mapped_column(String(100))


class AssignmentChangeRow(Base):
    """A change of assignments: the persons of images before and after, by the images' numbers."""

    __tablename__ = "saywhere_assignment_change"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(index=True)
    at: Mapped[int] = mapped_column(BigInteger)
    person: Mapped[str] = mapped_column(String(100))
    before: Mapped[dict[str, Any]] = mapped_column(JSON)
    after: Mapped[dict[str, Any]] = mapped_column(JSON)
    undone: Mapped[bool] = mapped_column(default=False)


class DisagreementRow(Base):
    """The disagreement of an image after event ``seq``; null where it has none."""

    __tablename__ = "saywhere_disagreement"

    image_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    seq: Mapped[int]
    value: Mapped[float | None]


class LeaseRow(Base):
    """The edit lock of an image: who holds it, until when (ms since 1970)."""

    __tablename__ = "saywhere_lease"

    image_id: Mapped[int] = mapped_column(ForeignKey("saywhere_image.id"), primary_key=True)
    client: Mapped[str] = mapped_column(String(64))
    person: Mapped[str] = mapped_column(String(100))
    until: Mapped[int] = mapped_column(BigInteger)


class ExportRow(Base):
    """An export that was made: its number in the project, and its manifest; ``at`` is ms since 1970."""

    __tablename__ = "saywhere_export"
    __table_args__ = (UniqueConstraint("project_id", "version"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("saywhere_project.id"))
    version: Mapped[int]
    at: Mapped[int] = mapped_column(BigInteger)
    person: Mapped[str] = mapped_column(String(100))
    # Empty until the export is written.
    manifest: Mapped[dict[str, Any]] = deferred(mapped_column(JSON))


Index("saywhere_event_by_time", EventRow.at)
