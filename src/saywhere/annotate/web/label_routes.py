"""Routes of labels. Every change can be undone and redone by its number."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field

from saywhere.annotate.actions import LabelId, Name, Strict, Text
from saywhere.annotate.attributes import MAX_ATTRIBUTES, MAX_VALUES, AttributeDefinition, AttributeKind
from saywhere.annotate.db.labels import ChangedLabel
from saywhere.annotate.db.store import Store
from saywhere.annotate.web.common import CONFLICT, NOT_FOUND, RequestAuthor
from saywhere.annotate.web.responses import LabelOut

Colour = Annotated[str, Field(pattern=r"^#[0-9a-fA-F]{6}$")]
LabelKey = Annotated[str, Field(pattern=r"^[0-9]?$")]
LabelNumber = Annotated[int, PathParameter(ge=1, le=2**31 - 1)]
ChangeNumber = Annotated[int, PathParameter(ge=1, le=2**31 - 1)]


class AttributeIn(Strict):
    """An attribute that the objects of a label have."""

    name: Name
    kind: AttributeKind
    values: Annotated[list[Text], Field(max_length=MAX_VALUES, description="those of a choice")] = Field(
        default_factory=list
    )
    default: bool | Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)] | Text | None = None
    renamed_from: Name | None = Field(default=None, description="its name until now; objects keep their values")

    def definition(self) -> AttributeDefinition:
        """As the label has it."""
        return AttributeDefinition(self.name, self.kind, tuple(self.values), self.default)


AttributesIn = Annotated[list[AttributeIn], Field(max_length=MAX_ATTRIBUTES)]


class LabelIn(Strict):
    """A new label; colour and key are chosen where they are not given."""

    name: Name
    colour: Colour | None = None
    key: LabelKey | None = None
    attributes: AttributesIn = Field(default_factory=list)


class LabelChange(Strict):
    """What to change of a label; a hidden label stays with the objects that have it."""

    name: Name | None = None
    colour: Colour | None = None
    key: LabelKey | None = None
    hidden: bool | None = None
    attributes: AttributesIn | None = Field(default=None, description="all of them, in order; none that is left out")


class MergeIn(Strict):
    """The label that another one is merged into."""

    into: LabelId


class ChangedLabelOut(LabelOut):
    """A label after a change."""

    change: int | None = Field(description="number of the change, to undo it; null where nothing changed")

    @classmethod
    def of_change(cls, changed: ChangedLabel) -> ChangedLabelOut:
        return cls(**LabelOut.of(changed.label).model_dump(), change=changed.change)


class UsageOut(BaseModel):
    """How much a label is used now."""

    images: int
    objects: int


def add_label_routes(app: FastAPI, store: Store) -> None:
    """Add the routes of labels."""
    labels = store.labels

    @app.post("/api/labels", tags=["labels"], status_code=201)
    def add_label(label: LabelIn, author: RequestAuthor) -> ChangedLabelOut:
        """Create a label; the existing one where there is one of this name, whatever its spaces and capitals."""
        attributes = [(each.definition(), each.renamed_from) for each in label.attributes]
        made = labels.add(label.name, label.colour, label.key, author.person, attributes=attributes)
        return ChangedLabelOut.of_change(made)

    @app.patch("/api/labels/{label}", tags=["labels"], responses=NOT_FOUND | CONFLICT)
    def change_label(label: LabelNumber, change: LabelChange, author: RequestAuthor) -> ChangedLabelOut:
        """Change a label's name, colour, key or attributes, or hide it."""
        given = change.model_dump(exclude={"attributes"})
        values = {name: value for name, value in given.items() if value is not None}
        if change.attributes is None:
            return ChangedLabelOut.of_change(labels.change(label, values, author.person))
        attributes = [(each.definition(), each.renamed_from) for each in change.attributes]
        return ChangedLabelOut.of_change(labels.define(label, attributes, author.person, values))

    @app.delete("/api/labels/{label}", tags=["labels"], responses=NOT_FOUND)
    def delete_label(label: LabelNumber, author: RequestAuthor) -> ChangedLabelOut:
        """Delete a label. Its objects stay, without a label."""
        return ChangedLabelOut.of_change(labels.delete(label, author.person))

    @app.post("/api/labels/{label}/merge", tags=["labels"], responses=NOT_FOUND)
    def merge_label(label: LabelNumber, merge: MergeIn, author: RequestAuthor) -> ChangedLabelOut:
        """Make all objects of a label objects of another one; the first label ends."""
        return ChangedLabelOut.of_change(labels.merge(label, merge.into, author.person))

    @app.get("/api/labels/{label}/usage", tags=["labels"])
    def label_usage(label: LabelNumber) -> UsageOut:
        """How many objects have a label, on how many images."""
        images, objects = store.label_usage(label)
        return UsageOut(images=images, objects=objects)

    @app.post("/api/labels/changes/{change}/undo", tags=["labels"], responses=NOT_FOUND | CONFLICT)
    def undo_change(change: ChangeNumber) -> ChangedLabelOut:
        """Take a change of a label back."""
        return ChangedLabelOut.of_change(labels.undo(change))

    @app.post("/api/labels/changes/{change}/redo", tags=["labels"], responses=NOT_FOUND | CONFLICT)
    def redo_change(change: ChangeNumber) -> ChangedLabelOut:
        """Do a change of a label again."""
        return ChangedLabelOut.of_change(labels.redo(change))
