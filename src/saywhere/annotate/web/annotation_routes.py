"""Routes of annotation: actions, and what the network says of an image."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Path, Query

from saywhere.annotate.actions import ActionRequest
from saywhere.annotate.service import Annotator
from saywhere.annotate.web.common import (  # fmt: skip
    CONFLICT,
    LOCKED,
    NO_CONTROL_CHARACTERS,
    NOT_FOUND,
    ImageId,
    RequestAuthor,
)
from saywhere.annotate.web.responses import InstanceOut, InstancesOut, MapOut, OutlineOut, ProposalOut, StateOut


def add_annotation_routes(app: FastAPI, annotator: Annotator) -> None:
    """Add the routes of annotation."""

    @app.post("/api/images/{image}/events", tags=["annotation"], responses=NOT_FOUND | CONFLICT | LOCKED)
    def act(image: ImageId, request: ActionRequest, author: RequestAuthor) -> StateOut:
        """Do an action on an image. The answer comes when it is on the disk."""
        return StateOut.of(annotator.act(image, request, author))

    @app.get("/api/images/{image}/relevance", tags=["annotation"], responses=NOT_FOUND | CONFLICT)
    def relevance(
        image: ImageId,
        phrase: Annotated[str, Query(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)],
        author: RequestAuthor,
    ) -> MapOut:
        """The relevance map of a phrase: where it applies."""
        return MapOut.of(annotator.relevance(image, phrase, author))

    @app.get("/api/images/{image}/proposal", tags=["annotation"], responses=NOT_FOUND | CONFLICT)
    def proposal(
        image: ImageId, label: Annotated[int, Query(ge=1, le=2**31 - 1)], author: RequestAuthor
    ) -> ProposalOut:
        """A click proposal: where another object of a label may be."""
        return ProposalOut.of(annotator.propose(image, label, author))

    @app.get("/api/images/{image}/instances", tags=["annotation"], responses=NOT_FOUND | CONFLICT)
    def instances(
        image: ImageId,
        author: RequestAuthor,
        phrase: Annotated[str | None, Query(min_length=1, max_length=200, pattern=NO_CONTROL_CHARACTERS)] = None,
        label: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None,
        background: Annotated[bool, Query(description="search only while nothing else is asked for")] = False,
    ) -> InstancesOut:
        """All further objects that a phrase names, or that are like those of a label, with scores and masks."""
        found = annotator.instances(image, author, phrase, label, background)
        return InstancesOut(instances=[InstanceOut.of(one, annotator.load_image(image).size) for one in found])

    @app.get("/api/images/{image}/objects/{object}/outline", tags=["annotation"], responses=NOT_FOUND)
    def outline(
        image: ImageId,
        object: Annotated[int, Path(ge=1, le=10**6)],
        tolerance: Annotated[float, Query(ge=0, le=1000, allow_inf_nan=False)] = 1.0,
    ) -> OutlineOut:
        """An object's outline as polygons, for the action 'polygon': its pieces and their holes."""
        return OutlineOut.of(annotator.outline(image, object, tolerance))

    @app.get("/api/images/{image}/objects/{object}/probability", tags=["annotation"], responses=NOT_FOUND | CONFLICT)
    def probability(image: ImageId, object: Annotated[int, Path(ge=1, le=10**6)], author: RequestAuthor) -> MapOut:
        """The network's probability for each pixel of an object."""
        return MapOut.of(annotator.probability(image, object, author))
