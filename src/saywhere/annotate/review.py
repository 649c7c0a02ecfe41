"""What people say of an image: it is approved or rejected, and comments are attached to it or to its objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Verdict = Literal["approved", "rejected"]
ReviewStatus = Literal["to-review", "approved", "rejected"]


@dataclass(frozen=True, slots=True)
class Review:
    """A person approved or rejected an image.

    Attributes:
        verdict: what was said.
        comment: why; empty where nothing was said.
        person: who said it.
        at: when, ms since 1970.
        ended_by: who ended it: by a change of what was approved, or by finishing what was rejected. None while it
            holds.
        ended_at: when, ms since 1970.
    """

    verdict: Verdict
    comment: str
    person: str
    at: int
    ended_by: str | None = None
    ended_at: int | None = None

    @property
    def holds(self) -> bool:
        """Whether it has not ended."""
        return self.ended_by is None

    @property
    def is_withdrawn(self) -> bool:
        """Whether it was an approval and the annotation changed afterwards."""
        return self.verdict == "approved" and not self.holds


@dataclass(frozen=True, slots=True)
class Comment:
    """What a person says of an image or an object.

    Attributes:
        number: of the event that it is stored with.
        object: number of the object; None where it is about the image.
        text: what is said.
        person: who says it.
        at: when, ms since 1970.
        resolved: whether somebody has settled it.
    """

    number: int
    object: int | None
    text: str
    person: str
    at: int
    resolved: bool = False


def end_review(reviews: Sequence[Review], verdict: Verdict, person: str, at: int) -> tuple[Review, ...]:
    """The reviews of an image, of which the last one ends if it is of this verdict and still holds.

    Example:
        >>> reviews = end_review([Review("approved", "", "Anna", 1)], "approved", "Ben", 2)
        >>> reviews[-1].is_withdrawn
        True
    """
    if not reviews or not reviews[-1].holds or reviews[-1].verdict != verdict:
        return tuple(reviews)
    return (*reviews[:-1], replace(reviews[-1], ended_by=person, ended_at=at))


def review_status(reviews: Sequence[Review], is_done: bool) -> ReviewStatus | None:
    """What the list of images shows; None for images that are not done and were not rejected."""
    if reviews and reviews[-1].holds:
        return reviews[-1].verdict
    return "to-review" if is_done else None
