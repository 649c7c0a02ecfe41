"""Whether an action can be done to an image as it is; each raises SaywhereError with what to do where it cannot."""

from __future__ import annotations

from collections.abc import Sequence

from saywhere.annotate.actions import AttributeAction, OrderAction
from saywhere.annotate.attributes import AttributeDefinition
from saywhere.annotate.db.tables import ImageRow
from saywhere.annotate.events import ImageState, ObjectState
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
