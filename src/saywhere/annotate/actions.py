"""What a person can do to an image: the input of the API. Each action becomes an event; events never change."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from saywhere.annotate.review import Verdict

# Numbers of JSON: neither NaN nor infinite. The upper bound is beyond any image.
Pixel = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Length = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
ObjectId = Annotated[int, Field(ge=1, le=1_000_000)]
LabelId = Annotated[int, Field(ge=1, le=2**31 - 1)]
# Without control characters: PostgreSQL stores no NUL, and the others are never intended.
Text = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f]*$")]
Name = Annotated[str, Field(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f]*[^\x00-\x20][^\x00-\x1f]*$")]
# Of several lines.
LongText = Annotated[
    str, Field(min_length=1, max_length=2000, pattern=r"^[^\x00-\x09\x0b-\x1f]*[^\x00-\x20][^\x00-\x09\x0b-\x1f]*$")
]
Key = Annotated[str, Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class Strict(BaseModel):
    """A part of a request: unknown fields are rejected."""

    model_config = ConfigDict(extra="forbid")


class ObjectAction(Strict):
    """Done to an object; without ``object`` it begins a new one, with ``label`` where one is given."""

    object: ObjectId | None = None
    label: LabelId | None = None


class ClickAction(ObjectAction):
    """A click, or a drag where there is a ``radius``; in pixels of the image, origin top left."""

    kind: Literal["click"]
    x: Pixel
    y: Pixel
    positive: bool = True
    radius: Length | None = None
    proposed: bool = Field(default=False, description="the click was proposed and the person accepted it")


class BoxAction(ObjectAction):
    """A box around the object; an object has one box, and another one replaces it."""

    kind: Literal["box"]
    box: tuple[Pixel, Pixel, Pixel, Pixel] = Field(
        description="edges x0, y0, x1, y1 in pixels of the image, whose first pixel reaches from 0 to 1"
    )


class CandidateAction(Strict):
    """Choose another of the object's candidate masks."""

    kind: Literal["candidate"]
    object: ObjectId
    index: Annotated[int, Field(ge=0, le=1000)] = Field(description="one of the indices in the object's candidates")


class PhraseAction(ObjectAction):
    """A phrase that names the object; null takes it back."""

    kind: Literal["phrase"]
    text: Text | None


class InstanceIn(Strict):
    """A proposed object: a pixel on it, and its box, which its mask is made of; without a box that is the click.

    The label that the phrase is the name of, if there is one, comes before ``label``.
    """

    x: Pixel
    y: Pixel
    radius: Length | None = None
    box: tuple[Pixel, Pixel, Pixel, Pixel] | None = None
    label: LabelId | None = None
    phrase: Text | None = Field(default=None, description="the phrase that found it; null where none did")


class InstancesAction(Strict):
    """Accept proposed objects, each as an object of its own; one undo takes all of them back."""

    kind: Literal["instances"]
    instances: Annotated[list[InstanceIn], Field(min_length=1, max_length=100)]


class BrushAction(ObjectAction):
    """A stroke of a round brush that paints the object (``paint``) or erases it."""

    kind: Literal["brush"]
    paint: bool
    radius: Annotated[float, Field(ge=0.5, le=2000, allow_inf_nan=False)]
    points: Annotated[list[tuple[Pixel, Pixel]], Field(min_length=1, max_length=5000)]


Points = Annotated[list[tuple[Pixel, Pixel]], Field(min_length=3, max_length=5000)]


class LassoAction(ObjectAction):
    """A line drawn around pixels that are added to the object (``paint``) or taken away."""

    kind: Literal["lasso"]
    paint: bool
    points: Points = Field(description="in pixels of the image, whose first pixel reaches from 0 to 1")


class PolygonAction(ObjectAction):
    """The object's whole mask, drawn as polygons: its pieces and their holes."""

    kind: Literal["polygon"]
    rings: Annotated[list[Points], Field(min_length=1, max_length=1000)] = Field(
        description="vertices in pixels of the image, the first of which reaches from 0 to 1; within two is a hole"
    )


class HolesAction(Strict):
    """Fill the holes of an object: all of them, or those of fewer than ``smaller`` pixels."""

    kind: Literal["holes"]
    object: ObjectId
    smaller: Annotated[int, Field(ge=1, le=10**9)] | None = None


class CrumbsAction(Strict):
    """Drop the pieces of an object but the largest: all of them, or those of fewer than ``smaller`` pixels."""

    kind: Literal["crumbs"]
    object: ObjectId
    smaller: Annotated[int, Field(ge=1, le=10**9)] | None = None


CorrectionAction = LassoAction | HolesAction | CrumbsAction


class RectangleAction(ObjectAction):
    """A box that is the whole annotation of an object: there is no mask. Another one replaces it."""

    kind: Literal["rectangle"]
    box: tuple[Pixel, Pixel, Pixel, Pixel] = Field(
        description="edges x0, y0, x1, y1 in pixels of the image, whose first pixel reaches from 0 to 1"
    )


class OrderAction(Strict):
    """Put an object before or behind all others: where masks must not overlap, the front one keeps the pixels."""

    kind: Literal["order"]
    object: ObjectId
    place: Literal["front", "back"]


class CopyAction(Strict):
    """Copy objects of another image of the same size to this one; one undo takes all of them back."""

    kind: Literal["copy"]
    image: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(description="number of the image that they are on")
    objects: Annotated[list[ObjectId], Field(max_length=500)] | None = Field(
        default=None, description="their numbers there; null for all"
    )


class AttributeAction(Strict):
    """Say the value of an attribute of an object; null takes it back."""

    kind: Literal["attribute"]
    object: ObjectId
    name: Name
    value: bool | Annotated[float, Field(ge=-1e12, le=1e12, allow_inf_nan=False)] | Text | None


class ThresholdAction(Strict):
    """The probability from which on a pixel belongs to the object."""

    kind: Literal["threshold"]
    object: ObjectId
    value: Annotated[float, Field(ge=0.02, le=0.98)]


class RelabelAction(Strict):
    """Give an object another label, or none."""

    kind: Literal["label"]
    object: ObjectId
    label: LabelId | None


class LockAction(Strict):
    """Lock an object, so that it can be neither changed nor deleted, or unlock it."""

    kind: Literal["lock"]
    object: ObjectId
    locked: bool


class DeleteAction(Strict):
    """Delete an object."""

    kind: Literal["delete"]
    object: ObjectId


class MarkAction(Strict):
    """Mark the image as done, skipped, or open again."""

    kind: Literal["mark"]
    value: Literal["done", "skipped", "open"]


class ReviewAction(Strict):
    """Approve the image, which is done then; or reject it, which opens it again and needs a comment."""

    kind: Literal["review"]
    verdict: Verdict
    comment: LongText | None = None


class CommentAction(Strict):
    """Say something of the image, or of an object of it."""

    kind: Literal["comment"]
    text: LongText
    object: ObjectId | None = None


class ResolveAction(Strict):
    """Say that a comment is settled, or that it is not."""

    kind: Literal["resolve"]
    comment: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field(description="its number")
    resolved: bool = True


class UndoAction(Strict):
    """Undo the last action on this image that is not undone yet."""

    kind: Literal["undo"]


class RedoAction(Strict):
    """Redo the action that was undone last."""

    kind: Literal["redo"]


Action = Annotated[
    ClickAction | BoxAction | CandidateAction | PhraseAction | InstancesAction | BrushAction | LassoAction
    | PolygonAction | HolesAction | CrumbsAction | RectangleAction | OrderAction | AttributeAction | CopyAction
    | ThresholdAction | RelabelAction | LockAction | DeleteAction | MarkAction
    | ReviewAction | CommentAction | ResolveAction | UndoAction | RedoAction,
    Field(discriminator="kind"),
]  # fmt: skip


class ComputedCandidates(Strict):
    """Which candidate masks can be chosen, smallest first, and which one the mask is; none where no other differs."""

    indices: Annotated[list[Annotated[int, Field(ge=0, le=100)]], Field(max_length=100)] = []
    position: Annotated[int, Field(ge=0, le=100)] = 0


class ComputedMask(Strict):
    """The mask of a click, box, candidate or threshold that a page computed by itself (``annotate --in-browser``).

    It is the network's own, before strokes and other corrections by hand, which the server applies.
    """

    counts: Annotated[str, Field(max_length=450_000)] = Field(description="COCO's compressed run lengths")
    score: Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)] = Field(description="expected IoU")
    weights: Annotated[str, Field(max_length=200)] = Field(description="the weights' hash, as the project has it")
    precision: Literal["fp32", "fp16", "int8"]
    backend: Literal["wasm", "webgpu"]
    candidates: ComputedCandidates = ComputedCandidates()
    spent_ms: Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)] = Field(description="time that it took")


class ActionRequest(Strict):
    """An action on an image that the page showed as it was after event ``base``.

    ``key`` is unique to the action: a request sent again after a lost answer is answered again, and not done twice.
    """

    key: Key
    base: Annotated[int, Field(ge=0, le=2**31 - 1)]
    action: Action
    computed: ComputedMask | None = Field(default=None, description="its mask; null: the server computes it")
    took_ms: Annotated[int, Field(ge=0, le=86_400_000)] | None = Field(
        default=None, description="time since the image was shown or the last answer, measured by the page"
    )
