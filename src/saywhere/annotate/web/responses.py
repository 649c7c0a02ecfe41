"""What the server answers: the contract's output."""

from __future__ import annotations

import base64
from typing import Literal

from pydantic import BaseModel, Field

from saywhere.annotate.db.tables import ImageRow, LabelRow
from saywhere.annotate.events import State
from saywhere.annotate.photos import as_png
from saywhere.core.arrays import FloatArray


class ErrorOut(BaseModel):
    """What was given and what to do, in one line."""

    error: str
    holder: str | None = Field(default=None, description="who works on the photograph, where that is the reason")


class LabelOut(BaseModel):
    id: int
    name: str
    colour: str
    key: str
    hidden: bool

    @classmethod
    def of(cls, row: LabelRow) -> LabelOut:
        return cls(id=row.id, name=row.name, colour=row.colour, key=row.key, hidden=row.hidden)


class ProjectOut(BaseModel):
    name: str
    images: int
    counts: dict[str, int] = Field(description="photographs by state: new, started, done, skipped")
    labels: list[LabelOut]
    model: str
    weights: str = Field(description="the weights' hash")
    phrases: bool = Field(description="whether the weights understand phrases")
    study: str | None


class ImageOut(BaseModel):
    """A photograph in the list."""

    id: int
    path: str
    state: Literal["new", "started", "done", "skipped"]
    objects: int
    missing: bool
    fault: str | None

    @classmethod
    def of(cls, row: ImageRow) -> ImageOut:
        return cls.model_validate(
            {name: getattr(row, name) for name in ("id", "path", "state", "objects", "missing", "fault")}
        )


class ImagesOut(BaseModel):
    total: int
    offset: int
    images: list[ImageOut]


class ClickOut(BaseModel):
    x: float
    y: float
    positive: bool
    radius: float | None


class ObjectOut(BaseModel):
    id: int
    label: int | None
    clicks: list[ClickOut]
    phrase: str | None
    strokes: int
    threshold: float
    mask: int | None = Field(description="the number of its mask, see masks")
    score: float | None = Field(description="the IoU to expect")
    area: int | None = Field(description="pixels")


class MaskOut(BaseModel):
    """COCO's compressed run lengths; size is height, width."""

    size: tuple[int, int]
    counts: str


class StateOut(BaseModel):
    """A photograph after its event ``seq``. ``masks`` are those that changed since the request's ``base``."""

    image: int
    seq: int
    state: Literal["new", "started", "done", "skipped"]
    active: int | None = Field(description="the object that was worked on last")
    can_undo: bool
    can_redo: bool
    objects: list[ObjectOut]
    masks: dict[int, MaskOut]

    @classmethod
    def of(cls, image: int, state: State, masks: dict[int, bytes], size: tuple[int, int]) -> StateOut:
        objects = [
            ObjectOut(
                id=thing.id, label=thing.label, phrase=thing.phrase, strokes=len(thing.strokes),
                clicks=[ClickOut(x=c.x, y=c.y, positive=c.positive, radius=c.radius) for c in thing.clicks],
                threshold=thing.threshold, mask=thing.mask, score=thing.score, area=thing.area,
            )
            for thing in state.things.values()
        ]  # fmt: skip
        return cls(
            image=image, seq=state.seq, state=state.summary, active=state.active, can_undo=state.can_undo,
            can_redo=state.can_redo, objects=objects,
            masks={seq: MaskOut(size=size, counts=counts.decode("ascii")) for seq, counts in masks.items()},
        )  # fmt: skip


class PhotographOut(BaseModel):
    """A photograph that was opened, with all that was done to it."""

    path: str
    width: int
    height: int
    version: str = Field(description="changes when the file does")
    changed: bool = Field(description="the file is another one than when it was annotated")
    holder: str | None = Field(description="who else works on it now")
    state: StateOut


class MapOut(BaseModel):
    """Values in [0, 1] over a rectangle of the photograph (pixels), as a grey PNG in base 64, of any size."""

    left: int
    top: int
    right: int
    bottom: int
    png: str

    @classmethod
    def of(cls, box: tuple[int, int, int, int], values: FloatArray) -> MapOut:
        left, top, right, bottom = box
        return cls(left=left, top=top, right=right, bottom=bottom, png=base64.b64encode(as_png(values)).decode())


class ProposalOut(BaseModel):
    """Where an object of the label may be; nothing where there seems to be none."""

    x: float | None = None
    y: float | None = None
    confidence: MapOut | None = None


class LeaseOut(BaseModel):
    person: str
    until: int = Field(description="milliseconds since 1970")
