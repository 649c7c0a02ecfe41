"""Whether an action can be done to an image as it is; each raises SaywhereError with what to do where it cannot."""

from __future__ import annotations

from collections.abc import Sequence

from saywhere.annotate.actions import (
    Action,
    AttributeAction,
    CommentAction,
    LockAction,
    OrderAction,
    ResolveAction,
    ReviewAction,
    UndoAction,
)
from saywhere.annotate.attributes import AttributeDefinition
from saywhere.annotate.db.tables import ImageRow
from saywhere.annotate.events import REVIEW_KINDS, EventHistory, ImageState, ObjectState
from saywhere.annotate.interactions import CandidateChoice
from saywhere.errors import SaywhereError

MAX_OBJECTS = 500  # of one image


def z_order(state: ImageState, one: ObjectState, action: OrderAction) -> int:
    """A number with which an object is before, or behind, all others of an image."""
    others = [other.z_order for other in state.objects.values() if other.id != one.id]
    if action.place == "front":
        return max(others, default=-1) + 1
    return min(others, default=1) - 1


def check_room(row: ImageRow, state: ImageState, count: int) -> None:
    """Whether an image can have ``count`` more objects."""
    if len(state.objects) + count > MAX_OBJECTS:
        raise SaywhereError(f"image '{row.path}': has {len(state.objects)} objects; {MAX_OBJECTS} is the maximum")


def check_choice(state: ObjectState, count: int) -> None:
    """Whether an object's last interaction chooses one of its ``count`` candidate masks."""
    choice = state.interactions[-1]
    assert isinstance(choice, CandidateChoice), "called for a choice only"
    if choice.index >= count:
        there = f"there are {count}, numbered from 0" if count else "click on it first"
        raise SaywhereError(f"candidate {choice.index}: not a candidate mask of object {state.id}; {there}")


def check_attribute(action: AttributeAction, definitions: Sequence[AttributeDefinition]) -> list[str]:
    """Whether an object can have a value of an attribute; an attribute that its label does not define has any.

    Returns:
        Former names of the attribute, under which the object may have an older value.
    """
    defined = next((one for one in definitions if one.name == action.name), None)
    if defined is None:
        return []
    if action.value is not None:
        defined.check(action.value)
    return list(defined.former)


def check_review(state: ImageState, action: ReviewAction | CommentAction | ResolveAction) -> None:
    """Whether something can be said of an image as it is."""
    if isinstance(action, ReviewAction):
        if action.verdict == "rejected" and action.comment is None:
            raise SaywhereError("rejected: say why, in a comment for whoever annotates the image")
    elif isinstance(action, CommentAction):
        if action.object is not None:
            state.object(action.object)
    elif all(one.number != action.comment for one in state.comments):
        raise SaywhereError(f"comment {action.comment}: there is none on this image; load the image again")


def check_undo(history: EventHistory, action: Action, person: str) -> None:
    """Whether a person can take the last step back: what others said of an image is theirs."""
    last = history.active[-1] if isinstance(action, UndoAction) and history.active else None
    if last is not None and last.kind in REVIEW_KINDS and last.person != person:
        said = {
            "review": "reviewed the image",
            "comment": "wrote a comment",
            "resolve": "settled a comment",
        }
        raise SaywhereError(
            f"undo: the last step is that {last.person} {said[last.kind]}, which only {last.person} takes back"
        )


def check_unlocked(state: ObjectState, action: Action) -> None:
    """Whether something can be done to an object: a locked one can only be unlocked."""
    if state.locked and not isinstance(action, LockAction):
        raise SaywhereError(f"{action.kind}: object {state.id} is locked; unlock it first to change or delete it")
