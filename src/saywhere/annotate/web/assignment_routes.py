"""Routes of assignments: whose images are whose. Every change can be undone and redone by its number."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI
from fastapi import Path as PathParameter
from pydantic import BaseModel, Field

from saywhere.annotate.actions import Name, Strict
from saywhere.annotate.db.store import Store
from saywhere.annotate.web.common import CONFLICT, NOT_FOUND, RequestAuthor

ImageNumber = Annotated[int, Field(ge=1, le=2**31 - 1)]
ChangeNumber = Annotated[int, PathParameter(ge=1, le=2**31 - 1)]


class AssignmentIn(Strict):
    """Images, and the names among which they are shared evenly; without a name they are nobody's."""

    images: Annotated[list[ImageNumber], Field(min_length=1, max_length=100_000)]
    persons: Annotated[list[Name], Field(max_length=100)]


class AssignmentOut(BaseModel):
    """A change of assignments."""

    change: int | None = Field(description="number of the change, to undo it; null where nothing changed")
    counts: dict[str, int] = Field(description="how many images of the project each person has now")


def add_assignment_routes(app: FastAPI, store: Store) -> None:
    """Add the routes of assignments."""
    assignments = store.assignments

    def answer(change: int | None) -> AssignmentOut:
        counts: dict[str, int] = {}
        for person in assignments.all().values():
            counts[person] = counts.get(person, 0) + 1
        return AssignmentOut(change=change, counts=counts)

    @app.post("/api/assignments", tags=["review"], status_code=201, responses=NOT_FOUND)
    def assign(request: AssignmentIn, author: RequestAuthor) -> AssignmentOut:
        """Assign images to persons. Others can still edit them."""
        return answer(assignments.assign(request.images, request.persons, author.person))

    @app.post("/api/assignments/{change}/undo", tags=["review"], responses=NOT_FOUND | CONFLICT)
    def undo_assignment(change: ChangeNumber) -> AssignmentOut:
        """Take a change of assignments back."""
        assignments.undo(change)
        return answer(change)

    @app.post("/api/assignments/{change}/redo", tags=["review"], responses=NOT_FOUND | CONFLICT)
    def redo_assignment(change: ChangeNumber) -> AssignmentOut:
        """Do a change of assignments again."""
        assignments.redo(change)
        return answer(change)
