"""Event sourcing of one image: its state is the replay of its events; undo and redo are events too.

Nothing here knows of the database.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from saywhere.annotate.interactions import (  # fmt: skip
    CORRECTIONS,
    NO_CANDIDATES,
    Attribute,
    BrushStroke,
    CandidateChoice,
    Candidates,
    Correction,
    DrawnBox,
    GivenMask,
    Interaction,
    PixelChange,
)
from saywhere.annotate.review import Comment, Review, ReviewStatus, Verdict, end_review, review_status
from saywhere.core.geometry import Box
from saywhere.core.prompt import Click
from saywhere.errors import SaywhereError

MAX_STATES = 64  # of an image, kept so that undo replays nothing
IMAGE_KINDS = frozenset(
    {"mark", "review", "comment", "resolve", "image-data"}
)  # kinds of events that are done to no object
REVIEW_KINDS = IMAGE_KINDS - {"mark", "image-data"}
JOINED = "joined"  # in the data of all events of one action but the first
Mark = Literal["open", "done", "skipped"]
Status = Literal["new", "started", "done", "skipped"]


@dataclass(frozen=True, slots=True)
class Event:
    """An action as it is stored; events are only ever added.

    Args:
        seq: number of the event, counted from 1 for each image.
        kind: the action's kind, for example ``"click"``; see :mod:`saywhere.annotate.actions`.
        object: number of the object that it was done to; None for undo, redo and what is done
            to the image.
        data: the action's other fields; with several candidates their indices too, see :class:`Candidates`.
        masked: whether a mask is stored with it.
        score: predicted IoU of that mask.
        area: pixels of that mask.
        person: who did it.
        at: when, ms since 1970.
    """

    seq: int
    kind: str
    object: int | None
    data: Mapping[str, Any]
    masked: bool = False
    score: float | None = None
    area: int | None = None
    person: str = ""
    at: int = 0

    @property
    def is_joined(self) -> bool:
        """Whether the same action stored the event before, too: one undo takes both back."""
        return bool(self.data.get(JOINED))


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One object of an image.

    Args:
        id: number of the object within its image.
        label: number of its label, if any.
        interactions: clicks, drags, boxes, choices among candidates and phrases in order; None where the phrase is
            taken back.
        strokes: brush strokes and other corrections in order; they are applied on top of the network's mask.
        threshold: probability from which on a pixel belongs to the object.
        mask: number of the event that its mask is stored with.
        score: predicted IoU of the mask.
        area: pixels of the mask.
        candidates: other masks that can be chosen.
        author: who made it in the file that it was imported from, where that says so.
        extra: what else that file says of it.
        rectangle: edges x0, y0, x1, y1 of an object that is only a box, until it has a mask.
        z_order: of two objects that share pixels, the one with the higher number is in front, and of two with the
            same number the smaller one.
        attributes: what was said of it, by the attribute's name.
        locked: whether nothing may be done to it but to unlock it, and to comment on it.
    """

    id: int
    label: int | None = None
    interactions: tuple[Interaction, ...] = ()
    strokes: tuple[Correction, ...] = ()
    threshold: float = 0.5
    mask: int | None = None
    score: float | None = None
    area: int | None = None
    candidates: Candidates = NO_CANDIDATES
    author: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    rectangle: Box | None = None
    z_order: int = 0
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    locked: bool = False

    @property
    def given(self) -> int | None:
        """The number of the event with the mask that its interactions refine; None where they began with none."""
        first = self.interactions[0] if self.interactions else None
        return first.event if isinstance(first, GivenMask) else None

    @property
    def is_prompted(self) -> bool:
        """Whether the network was asked for it: it has an interaction beside the mask that was given."""
        return len(self.interactions) > (self.given is not None)

    @property
    def clicks(self) -> tuple[Click, ...]:
        """Clicks and drags in order."""
        return tuple(one for one in self.interactions if isinstance(one, Click))

    @property
    def phrase(self) -> str | None:
        """The phrase that is in force."""
        phrases = [one for one in self.interactions if one is None or isinstance(one, str)]
        return phrases[-1] if phrases else None

    @property
    def box(self) -> Box | None:
        """The box that is in force."""
        boxes = [one.box for one in self.interactions if isinstance(one, DrawnBox)]
        return boxes[-1] if boxes else None

    @property
    def choices(self) -> int:
        """How often another candidate was chosen."""
        return sum(isinstance(one, CandidateChoice) for one in self.interactions)


@dataclass(frozen=True, slots=True)
class ImageState:
    """An image's objects after event ``seq``. ``active`` is the object that was worked on last.

    ``reviews`` and ``comments`` are what people said of it, oldest first; ``extra`` is what else a file that was
    imported says of it, and ``licence`` the entry of that file which its ``license`` names.
    """

    seq: int = 0
    objects: Mapping[int, ObjectState] = field(default_factory=dict)
    mark: Mark = "open"
    active: int | None = None
    can_undo: bool = False
    can_redo: bool = False
    next_id: int = 1
    reviews: tuple[Review, ...] = ()
    comments: tuple[Comment, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    licence: Mapping[str, Any] | None = None

    @property
    def review(self) -> ReviewStatus | None:
        """Whether it is to be reviewed, approved or rejected; None while it is not done."""
        return review_status(self.reviews, self.mark == "done")

    @property
    def status(self) -> Status:
        """As the list of images shows it."""
        if self.mark != "open":
            return self.mark
        return "started" if self.objects else "new"

    def object(self, id: int) -> ObjectState:
        """An object by its number; SaywhereError when it is not on the image."""
        if id not in self.objects:
            raise SaywhereError(f"object {id}: not on this image any more; load the image again")
        return self.objects[id]


@dataclass(frozen=True)
class EventHistory:
    """The events of one image and the state that they lead to.

    Args:
        active: events that are in force, in order.
        undone: events that were undone and can be redone, the last one first to come back.
        state: the replay of the active events.
        before: the states before each of the last active events, as many as are kept, in order.
    """

    active: tuple[Event, ...] = ()
    undone: tuple[Event, ...] = ()
    state: ImageState = ImageState()
    before: tuple[ImageState, ...] = ()

    @classmethod
    def replay(cls, events: Iterable[Event]) -> EventHistory:
        """The history after all of an image's events, given in order."""
        return cls().extended(list(events))

    def extended(self, events: Sequence[Event]) -> EventHistory:
        """This history with further events.

        Nothing is replayed, unless more events are undone one after another than states are kept.
        """
        active, undone, state, next_id = list(self.active), list(self.undone), self.state, self.state.next_id
        before = list(self.before)
        for event in events:
            if event.kind == "undo":
                for one in reversed(_last_action(active)):
                    undone.append(active.pop())
                    if not before:
                        before = _states_before([*active, one])
                    state = before.pop()
                continue
            if event.kind == "redo":
                again = [undone.pop()]
                while undone and undone[-1].is_joined:
                    again.append(undone.pop())
            else:
                again = [event]
                undone.clear()
                # A number is never given twice, not even that of an object whose first event was undone.
                next_id = max(next_id, 1 + (event.object or 0))
            for one in again:
                active.append(one)
                before = [*before[1 - MAX_STATES :], state]
                state = apply_event(state, one)
        seq = events[-1].seq if events else self.state.seq
        state = replace(state, seq=seq, can_undo=bool(active), can_redo=bool(undone), next_id=next_id)
        return EventHistory(tuple(active), tuple(undone), state, tuple(before))


def _last_action(events: Sequence[Event]) -> Sequence[Event]:
    """The events at the end that one action stored."""
    first = len(events) - 1
    while events[first].is_joined:
        first -= 1
    return events[first:]


def _states_before(events: Sequence[Event]) -> list[ImageState]:
    """The states before each of the last of some active events, of which there is at least one."""
    states, state = deque([ImageState()], maxlen=MAX_STATES), ImageState()
    for event in events[:-1]:
        state = apply_event(state, event)
        states.append(state)
    return list(states)


def apply_event(state: ImageState, event: Event) -> ImageState:
    """The state after one more event that is neither undo nor redo."""
    if event.kind in IMAGE_KINDS:
        return _apply_to_image(state, event)
    assert event.object is not None, "every other event is done to an object"
    if event.kind == "lock":
        one = replace(state.object(event.object), locked=event.data["locked"])
        return replace(state, objects={**state.objects, one.id: one})
    state = replace(state, reviews=end_review(state.reviews, "approved", event.person, event.at))
    objects = dict(state.objects)
    if event.kind == "delete":
        objects.pop(event.object, None)
        last = max(objects, default=None)
        active = last if state.active == event.object else state.active
        return replace(state, objects=objects, active=active, mark=_mark_after(event, objects))
    before = objects.get(event.object) or ObjectState(event.object, label=event.data.get("label"))
    objects[event.object] = apply_to_object(before, event)
    return replace(state, objects=objects, active=event.object, mark=_mark_after(event, objects))


def _apply_to_image(state: ImageState, event: Event) -> ImageState:
    """The state after an event of the :data:`IMAGE_KINDS`."""
    data = event.data
    if event.kind == "mark":
        # What was rejected is finished again, or what was approved is not done any more.
        ended: Verdict = "rejected" if data["value"] == "done" else "approved"
        return replace(state, mark=data["value"], reviews=end_review(state.reviews, ended, event.person, event.at))
    if event.kind == "review":
        review = Review(data["verdict"], data["comment"] or "", event.person, event.at)
        mark: Mark = "done" if review.verdict == "approved" else "open"
        return replace(state, mark=mark, reviews=(*state.reviews, review))
    if event.kind == "comment":
        comment = Comment(event.seq, data["object"], data["text"], event.person, event.at)
        return replace(state, comments=(*state.comments, comment))
    if event.kind == "image-data":
        return replace(state, extra={**state.extra, **data["extra"]}, licence=data["licence"] or state.licence)
    comments = (
        replace(one, resolved=data["resolved"]) if one.number == data["comment"] else one for one in state.comments
    )
    return replace(state, comments=tuple(comments))


def _mark_after(event: Event, objects: Mapping[int, ObjectState]) -> Mark:
    """The mark of an image after work on an object: a correction of what is done leaves it done.

    Other work opens the image again, and so did corrections in earlier versions, whose events say nothing.
    """
    return "done" if event.data.get("corrects") and objects else "open"


def _instance_prompt(data: Mapping[str, Any]) -> Interaction:
    """What a proposed instance was found by: its box, or a click with weights that know no boxes."""
    if data["box"] is None:
        return Click(data["x"], data["y"], True, data["radius"])
    x0, y0, x1, y1 = data["box"]
    return DrawnBox((x0, y0, x1, y1))


def apply_to_object(state: ObjectState, event: Event) -> ObjectState:
    """An object's state after an event that was done to it."""
    data = event.data
    if event.kind == "click":
        click = Click(data["x"], data["y"], data["positive"], data["radius"])
        state = replace(state, interactions=(*state.interactions, click))
    elif event.kind == "box":
        x0, y0, x1, y1 = data["box"]
        state = replace(state, interactions=(*state.interactions, DrawnBox((x0, y0, x1, y1))))
    elif event.kind == "candidate":
        state = replace(state, interactions=(*state.interactions, CandidateChoice(data["index"])))
    elif event.kind == "phrase":
        # Events of earlier versions do not say which label the phrase is the name of.
        label = state.label if data.get("names") is None else data["names"]
        state = replace(state, interactions=(*state.interactions, data["text"]), label=label)
    elif event.kind == "import":
        box = (*data["rectangle"],) if data.get("rectangle") else None
        state = replace(
            state, interactions=(GivenMask(event.seq),) if event.masked else (), rectangle=box,
            attributes=data.get("attributes", {}), author=data["author"], extra=data["extra"],
        )  # fmt: skip
    elif event.kind == "instance":
        state = replace(state, interactions=(*state.interactions, _instance_prompt(data)))
    elif event.kind == "brush":
        stroke = BrushStroke(data["paint"], data["radius"], tuple((x, y) for x, y in data["points"]))
        state = replace(state, strokes=(*state.strokes, stroke))
    elif event.kind in CORRECTIONS:
        change = PixelChange(data.get("painted", ""), data.get("erased", ""))
        state = replace(state, strokes=(*state.strokes, change))
    elif event.kind == "polygon":
        state = replace(state, interactions=(GivenMask(event.seq),), strokes=())
    elif event.kind == "copy":
        box = None if data["rectangle"] is None else (*data["rectangle"],)
        given = (GivenMask(event.seq),) if event.masked else ()
        state = replace(
            state, interactions=given, z_order=data["z_order"], attributes=data["attributes"], rectangle=box
        )
    elif event.kind == "rectangle":
        x0, y0, x1, y1 = data["box"]
        state = replace(state, rectangle=(x0, y0, x1, y1))
    elif event.kind == "order":
        state = replace(state, z_order=data["z_order"])
    elif event.kind == "attribute":
        # Under a former name of the attribute there may be an older value.
        gone = {data["name"], *data.get("former", [])}
        attributes = {name: value for name, value in state.attributes.items() if name not in gone}
        attributes |= {} if data["value"] is None else {data["name"]: data["value"]}
        state = replace(state, attributes=attributes)
    elif event.kind == "threshold":
        state = replace(state, threshold=data["value"])
    elif event.kind == "label":
        state = replace(state, label=data["label"])
    if event.masked:
        state = replace(state, mask=event.seq, score=event.score, area=event.area)
    if event.masked and event.kind not in (
        "brush",
        "threshold",
        *CORRECTIONS,
    ):  # these keep to whichever candidate is chosen
        state = replace(state, candidates=Candidates.from_event(data))
    return state
