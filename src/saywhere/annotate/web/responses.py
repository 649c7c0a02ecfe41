"""The responses of the API."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import asdict
from typing import Literal, cast

from pydantic import BaseModel, Field

from saywhere.annotate.attributes import AttributeKind
from saywhere.annotate.db.locks import EditLock
from saywhere.annotate.db.summaries import ImageSummary
from saywhere.annotate.db.tables import ImageRow, LabelRow
from saywhere.annotate.editing import StateChange
from saywhere.annotate.events import ObjectState, Status
from saywhere.annotate.inference.instances import ProposedInstance
from saywhere.annotate.inference.proposals import ClickProposal
from saywhere.annotate.interactions import CandidateChoice, DrawnBox, GivenMask, Interaction
from saywhere.annotate.picture import encode_png
from saywhere.annotate.review import Comment, Review, ReviewStatus, Verdict
from saywhere.annotate.rings import Ring
from saywhere.annotate.service import ImageMap, OpenedImage
from saywhere.core.geometry import ImageSize
from saywhere.core.prompt import Click


class ErrorOut(BaseModel):
    """What was given and what to do, in one line."""

    error: str
    holder: str | None = Field(default=None, description="who is editing the image, where that is the reason")


class AttributeOut(BaseModel):
    """An attribute that the objects of a label have."""

    name: str
    kind: AttributeKind
    values: list[str] = Field(description="those that can be chosen; empty but for a choice")
    default: bool | float | str | None = Field(description="what an object has that was given no value")


class LabelOut(BaseModel):
    """A label; objects may have hidden ones, new objects get none."""

    id: int
    name: str
    colour: str
    key: str
    hidden: bool
    attributes: list[AttributeOut]

    @classmethod
    def of(cls, row: LabelRow) -> LabelOut:
        attributes = [AttributeOut.model_validate(each) for each in row.attributes]
        return cls(
            id=row.id, name=row.name, colour=row.colour, key=row.key, hidden=row.hidden, attributes=attributes
        )  # fmt: skip


class InBrowserOut(BaseModel):
    """What a page needs to compute masks by itself."""

    address: str = Field(description="path of the folder with model.json, the networks and onnxruntime/")
    precision: str = Field(description="of the weights there")


class ProjectOut(BaseModel):
    """The folder, its labels, and the network."""

    name: str
    images: int
    counts: dict[str, int] = Field(description="images by state: new, started, done, skipped")
    labels: list[LabelOut]
    model: str
    weights: str = Field(description="the weights' hash")
    phrases: bool = Field(description="whether the weights understand phrases")
    boxes: bool = Field(description="whether the weights know boxes")
    candidates: int = Field(description="how many masks the weights give for a prompt")
    max_clicks: int | None = Field(description="how many clicks an object may have; null: any number")
    negative_clicks: bool = Field(description="whether the weights take clicks on the background")
    drags: bool = Field(description="whether the weights take the radius of a click")
    study: str | None
    in_browser: InBrowserOut | None = Field(description="null: the server computes all masks")
    notes: list[str] = Field(description="what a person should know of how the project was opened")


class RescanOut(ProjectOut):
    """The project after its folder was listed anew, and what was found."""

    added: int = Field(description="images that are new")
    gone: int = Field(description="images that are not there any more")
    renamed: int = Field(description="images with another name than before, known by their hashes")
    unreadable: list[str] = Field(description="images that cannot be read, and why")
    ignored: dict[str, int] = Field(description="files that are no images, by suffix")


class ImageOut(BaseModel):
    """An image in the list."""

    id: int
    path: str
    state: Status
    objects: int
    missing: bool
    fault: str | None
    labels: dict[int, int] = Field(description="objects by the number of their label; 0 for those without one")
    expected_iou: float | None = Field(description="the lowest predicted IoU of its objects")
    at: int = Field(description="when it was last worked on, milliseconds since 1970; 0 for never")
    review: ReviewStatus | None = Field(description="null while it is not done, unless it was rejected")
    withdrawn: bool = Field(description="the annotation changed after it was approved")
    comments: int = Field(description="comments that are not settled")
    assigned: str | None = Field(description="whose image it is")
    disagreement: float | None = Field(
        default=None, description="how much was changed of what was proposed, from 0 to 1; only where asked for"
    )

    @classmethod
    def of(
        cls, row: ImageRow, summary: ImageSummary, assigned: str | None, disagreement: float | None = None
    ) -> ImageOut:
        return cls(
            review=summary.review, withdrawn=summary.withdrawn, comments=summary.comments, assigned=assigned,
            disagreement=None if disagreement is None else round(disagreement, 4),
            id=row.id, path=row.path, state=cast("Status", row.state), objects=row.objects, missing=row.missing,
            fault=row.fault, labels=dict(summary.labels), expected_iou=summary.expected_iou, at=summary.at,
        )  # fmt: skip


class ImagesOut(BaseModel):
    """A part of the list of images."""

    total: int
    offset: int
    images: list[ImageOut]


class ClickOut(BaseModel):
    """A click, or a drag where there is a radius; in pixels of the image."""

    x: float
    y: float
    positive: bool
    radius: float | None


class InteractionOut(BaseModel):
    """A click, a box, a choice among candidates, a phrase (null where it is taken back), or a mask that was given."""

    kind: Literal["click", "box", "candidate", "phrase", "given"]
    x: float | None = None
    y: float | None = None
    positive: bool | None = None
    radius: float | None = None
    box: tuple[float, float, float, float] | None = None
    index: int | None = None
    text: str | None = None

    @classmethod
    def of(cls, one: Interaction) -> InteractionOut:
        if isinstance(one, Click):
            return cls(kind="click", x=one.x, y=one.y, positive=one.positive, radius=one.radius)
        if isinstance(one, DrawnBox):
            return cls(kind="box", box=one.box)
        if isinstance(one, CandidateChoice):
            return cls(kind="candidate", index=one.index)
        return cls(kind="given") if isinstance(one, GivenMask) else cls(kind="phrase", text=one)


class CandidatesOut(BaseModel):
    """Masks that the network offers for an object and that differ; no indices where there is only one."""

    indices: list[int] = Field(description="for the action 'candidate'; smallest mask first")
    position: int = Field(description="of the object's mask in indices")


class ObjectOut(BaseModel):
    """An object with its prompt."""

    id: int
    label: int | None
    clicks: list[ClickOut]
    interactions: list[InteractionOut] = Field(description="all that the network was given, in order")
    box: tuple[float, float, float, float] | None = Field(description="edges x0, y0, x1, y1 in pixels of the image")
    phrase: str | None
    choices: int = Field(description="how often another candidate was chosen")
    candidates: CandidatesOut
    strokes: int
    threshold: float
    mask: int | None = Field(description="number of its mask, a key of masks")
    score: float | None = Field(description="predicted IoU")
    area: int | None = Field(description="pixels")
    rectangle: tuple[float, float, float, float] | None = Field(description="edges of an object that is only a box")
    z_order: int = Field(description="which of two objects is in front: the higher one, then the smaller one")
    attributes: dict[str, bool | float | str] = Field(description="values that were given, by the attribute's name")
    locked: bool = Field(description="only unlocking and comments are accepted")

    @classmethod
    def of(cls, state: ObjectState) -> ObjectOut:
        clicks = [ClickOut(x=c.x, y=c.y, positive=c.positive, radius=c.radius) for c in state.clicks]
        return cls(
            id=state.id, label=state.label, phrase=state.phrase, strokes=len(state.strokes), clicks=clicks,
            threshold=state.threshold, mask=state.mask, score=state.score, area=state.area,
            box=state.box, choices=state.choices, rectangle=state.rectangle, z_order=state.z_order,
            attributes=dict(state.attributes), locked=state.locked,
            interactions=[InteractionOut.of(one) for one in state.interactions],
            candidates=CandidatesOut(indices=list(state.candidates.indices), position=state.candidates.position),
        )  # fmt: skip


class MaskOut(BaseModel):
    """COCO's compressed run lengths; size is height, width."""

    size: tuple[int, int]
    counts: str


class ReviewOut(BaseModel):
    """A person approved or rejected the image."""

    verdict: Verdict
    comment: str
    person: str
    at: int = Field(description="milliseconds since 1970")
    ended_by: str | None = Field(description="who changed what was approved, or finished what was rejected")
    ended_at: int | None

    @classmethod
    def of(cls, review: Review) -> ReviewOut:
        return cls(**asdict(review))


class CommentOut(BaseModel):
    """A comment on the image, or on an object."""

    number: int
    object: int | None
    text: str
    person: str
    at: int = Field(description="milliseconds since 1970")
    resolved: bool

    @classmethod
    def of(cls, comment: Comment) -> CommentOut:
        return cls(**asdict(comment))


class StateOut(BaseModel):
    """An image after its event ``seq``. ``masks`` are those that changed since the request's ``base``."""

    image: int
    seq: int
    state: Status
    active: int | None = Field(description="the object that was worked on last")
    can_undo: bool
    can_redo: bool
    objects: list[ObjectOut]
    masks: dict[int, MaskOut]
    review: ReviewStatus | None = Field(description="null while the image is not done, unless it was rejected")
    reviews: list[ReviewOut] = Field(description="oldest first; the last one counts")
    comments: list[CommentOut] = Field(description="oldest first")
    note: str | None = Field(default=None, description="why nothing is learned of the object's label")

    @classmethod
    def of(cls, change: StateChange) -> StateOut:
        state = change.state
        return cls(
            image=change.image, seq=state.seq, state=state.status, active=state.active, can_undo=state.can_undo,
            can_redo=state.can_redo, objects=[ObjectOut.of(one) for one in state.objects.values()],
            masks={seq: MaskOut(size=change.size, counts=rle.decode("ascii")) for seq, rle in change.masks.items()},
            note=change.note, review=state.review, reviews=[ReviewOut.of(one) for one in state.reviews],
            comments=[CommentOut.of(one) for one in state.comments],
        )  # fmt: skip


class OpenedImageOut(BaseModel):
    """An image that was opened, with its objects."""

    path: str
    width: int
    height: int
    version: str = Field(description="changes when the file does")
    changed: bool = Field(description="the file is another one than when it was annotated")
    holder: str | None = Field(description="who else is editing it now")
    state: StateOut

    @classmethod
    def of(cls, opened: OpenedImage) -> OpenedImageOut:
        size = opened.change.size
        return cls(
            path=opened.path, width=size.width, height=size.height, version=opened.version, changed=opened.changed,
            holder=opened.holder, state=StateOut.of(opened.change),
        )  # fmt: skip


class MapOut(BaseModel):
    """Values in [0, 1] over a rectangle of the image (pixels), as a grey PNG in base 64, of any size."""

    left: int
    top: int
    right: int
    bottom: int
    png: str

    @classmethod
    def of(cls, map: ImageMap) -> MapOut:
        left, top, right, bottom = map.box
        png = base64.b64encode(encode_png(map.values)).decode()
        return cls(left=left, top=top, right=right, bottom=bottom, png=png)


class OutlineOut(BaseModel):
    """Rings of vertices in pixels of the image, whose first pixel reaches from 0 to 1; what is within two is a hole."""

    rings: list[list[tuple[float, float]]]

    @classmethod
    def of(cls, rings: Sequence[Ring]) -> OutlineOut:
        return cls(rings=[[(x, y) for x, y in ring.tolist()] for ring in rings])


class ProposalOut(BaseModel):
    """Where another object of the label may be; nulls where there seems to be none."""

    x: float | None = None
    y: float | None = None
    confidence: MapOut | None = None

    @classmethod
    def of(cls, proposal: tuple[ClickProposal, ImageMap] | None) -> ProposalOut:
        if proposal is None:
            return cls()
        click = proposal[0].click
        return cls(x=click.x, y=click.y, confidence=MapOut.of(proposal[1]))


class InstanceOut(BaseModel):
    """An object that may be accepted: what the action 'instances' needs, its score in [0, 1] and its mask."""

    x: float
    y: float
    radius: float | None
    box: tuple[float, float, float, float] | None
    score: float
    mask: MaskOut

    @classmethod
    def of(cls, one: ProposedInstance, size: ImageSize) -> InstanceOut:
        mask = MaskOut(size=size, counts=one.region.encode(size).decode("ascii"))
        return cls(x=one.x, y=one.y, radius=one.radius, box=one.box, score=round(one.score, 4), mask=mask)


class InstancesOut(BaseModel):
    """Objects of an image that may be accepted, the highest score first."""

    instances: list[InstanceOut]


class LockOut(BaseModel):
    """An image's edit lock."""

    person: str
    until: int = Field(description="milliseconds since 1970")

    @classmethod
    def of(cls, lock: EditLock) -> LockOut:
        return cls(person=lock.person, until=lock.until)
