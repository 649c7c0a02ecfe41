"""A photograph's state is the replay of its events; undo and redo are events too. Nothing here knows of tables."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from saywhere.core.prompt import Click
from saywhere.errors import SaywhereError

Mark = Literal["open", "done", "skipped"]


@dataclass(frozen=True, slots=True)
class Event:
    """What was done, as kept: ``seq`` counts a photograph's events from 1, ``masked`` says whether it keeps a mask.

    ``data`` is the action without its kind and object.
    """

    seq: int
    kind: str
    object: int | None
    data: Mapping[str, Any]
    masked: bool = False
    score: float | None = None
    area: int | None = None


@dataclass(frozen=True, slots=True)
class Stroke:
    """A brush's way: ``points`` and ``radius`` in pixels of the photograph."""

    paint: bool
    radius: float
    points: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class ObjectState:
    """One object. ``said`` are its clicks and phrases in order; ``mask`` is the event that holds its mask."""

    id: int
    label: int | None = None
    said: tuple[Click | str | None, ...] = ()
    strokes: tuple[Stroke, ...] = ()
    threshold: float = 0.5
    mask: int | None = None
    score: float | None = None
    area: int | None = None

    @property
    def clicks(self) -> tuple[Click, ...]:
        return tuple(s for s in self.said if isinstance(s, Click))

    @property
    def phrase(self) -> str | None:
        phrases = [s for s in self.said if not isinstance(s, Click)]
        return phrases[-1] if phrases else None


@dataclass(frozen=True, slots=True)
class State:
    """A photograph as it is after event ``seq``. ``active`` is the object that was worked on last."""

    seq: int = 0
    things: Mapping[int, ObjectState] = field(default_factory=dict)
    mark: Mark = "open"
    active: int | None = None
    can_undo: bool = False
    can_redo: bool = False
    next_id: int = 1

    @property
    def summary(self) -> Literal["new", "started", "done", "skipped"]:
        """As the list of photographs shows it."""
        if self.mark != "open":
            return self.mark
        return "started" if self.things else "new"

    def thing(self, id: int) -> ObjectState:
        """An object; SaywhereError when it is not there."""
        if id not in self.things:
            raise SaywhereError(f"object {id}: not on this photograph any more; load it again")
        return self.things[id]


def standing(events: Iterable[Event]) -> tuple[list[Event], list[Event]]:
    """The events that stand, and those that were undone and can be redone (the last one first to come back)."""
    done: list[Event] = []
    undone: list[Event] = []
    for event in events:
        if event.kind == "undo":
            undone.append(done.pop())
        elif event.kind == "redo":
            done.append(undone.pop())
        else:
            done.append(event)
            undone.clear()
    return done, undone


def replay(events: Iterable[Event]) -> State:
    """The state after all events, in their order."""
    kept = list(events)
    done, undone = standing(kept)
    state = State()
    for event in done:
        state = after(state, event)
    return replace(
        state,
        seq=kept[-1].seq if kept else 0,
        can_undo=bool(done),
        can_redo=bool(undone),
        # A number is never given twice, not even that of an object whose beginning was undone.
        next_id=1 + max((e.object or 0 for e in kept), default=0),
    )


def after(state: State, event: Event) -> State:
    """The state after one more event that is neither undo nor redo."""
    if event.kind == "mark":
        return replace(state, mark=event.data["value"])
    assert event.object is not None, "all but marks are done to an object"
    things = dict(state.things)
    # Who goes on working on a photograph that was done or passed over has opened it again.
    state = replace(state, mark="open")
    if event.kind == "delete":
        things.pop(event.object, None)
        last = max(things, default=None)
        return replace(state, things=things, active=last if state.active == event.object else state.active)
    thing = things.get(event.object) or ObjectState(event.object, label=event.data.get("label"))
    things[event.object] = changed(thing, event)
    return replace(state, things=things, active=event.object)


def changed(thing: ObjectState, event: Event) -> ObjectState:
    """An object after an event of its own."""
    data = event.data
    if event.kind == "click":
        click = Click(data["x"], data["y"], data["positive"], data["radius"])
        thing = replace(thing, said=(*thing.said, click))
    elif event.kind == "phrase":
        thing = replace(thing, said=(*thing.said, data["text"]))
    elif event.kind == "brush":
        stroke = Stroke(data["paint"], data["radius"], tuple((x, y) for x, y in data["points"]))
        thing = replace(thing, strokes=(*thing.strokes, stroke))
    elif event.kind == "threshold":
        thing = replace(thing, threshold=data["value"])
    elif event.kind == "label":
        thing = replace(thing, label=data["label"])
    if event.masked:
        thing = replace(thing, mask=event.seq, score=event.score, area=event.area)
    return thing
