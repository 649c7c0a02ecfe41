"""What the list of images shows and sorts by, stored with each image so that the list need not replay its events."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from saywhere.annotate.db.tables import EventRow, ImageRow, ImageSummaryRow
from saywhere.annotate.events import ImageState
from saywhere.annotate.review import ReviewStatus


@dataclass(frozen=True)
class ImageSummary:
    """An image's objects in short.

    Attributes:
        labels: number of objects by the number of their label; 0 for those without one.
        expected_iou: the lowest predicted IoU of its objects; None where the network predicted none.
        at: when it was last worked on, ms since 1970; 0 for never.
        review: whether it is to be reviewed, approved or rejected; None while it is not done.
        withdrawn: whether the annotation changed after it was approved.
        comments: number of comments that are not settled.
    """

    labels: Mapping[int, int] = field(default_factory=dict)
    expected_iou: float | None = None
    at: int = 0
    review: ReviewStatus | None = None
    withdrawn: bool = False
    comments: int = 0

    def with_labels(self, replaced: Mapping[int, int | None]) -> ImageSummary:
        """The summary with the labels that merged and deleted ones became."""
        labels: Counter[int] = Counter()
        for label, count in self.labels.items():
            labels[replaced.get(label, label) or 0] += count
        return replace(self, labels=dict(labels))


def summarise(state: ImageState, at: int) -> ImageSummary:
    """The summary of an image that was last changed at ``at``."""
    scores = [one.score for one in state.objects.values() if one.score is not None]
    labels = Counter(one.label or 0 for one in state.objects.values())
    return ImageSummary(
        dict(labels), min(scores, default=None), at, review=state.review,
        withdrawn=bool(state.reviews) and state.reviews[-1].is_withdrawn,
        comments=sum(not one.resolved for one in state.comments),
    )  # fmt: skip


def store_summary(session: Session, image: int, state: ImageState, summary: ImageSummary) -> None:
    """Store an image's summary, in a writing session."""
    data = asdict(summary)
    data["labels"] = {str(label): count for label, count in summary.labels.items()}
    session.merge(ImageSummaryRow(image_id=image, seq=state.seq, at=data.pop("at"), data=data))


def load_summaries(
    session: Session, project: int, state_of: Callable[[int], ImageState], images: Iterable[int] | None = None
) -> dict[int, ImageSummary]:
    """The summaries of a project's images that were worked on, by the number of the image.

    Args:
        session: a session that reads.
        project: number of the project.
        state_of: the state of an image whose summary is not stored: an earlier version worked on it.
        images: numbers of images; None for all.
    """
    condition = [ImageRow.project_id == project, ImageRow.seq > 0]
    if images is not None:
        condition.append(ImageRow.id.in_(list(images)))
    query = select(ImageRow.id, ImageRow.seq, ImageSummaryRow, ImageRow.state).outerjoin(
        ImageSummaryRow, ImageSummaryRow.image_id == ImageRow.id
    )
    summaries = {}
    for id, seq, row, status in session.execute(query.where(*condition)):
        if row is not None and row.seq == seq:
            summaries[id] = _from_row(row, status)
        else:
            at = session.scalar(select(func.max(EventRow.at)).where(EventRow.image_id == id)) or 0
            summaries[id] = summarise(state_of(id), at)
    return summaries


def _from_row(row: ImageSummaryRow, status: str) -> ImageSummary:
    # Where an earlier version stored it, nobody has reviewed the image.
    data: dict[str, Any] = {"review": "to-review" if status == "done" else None, **row.data}
    labels = {int(label): count for label, count in data.pop("labels").items()}
    return ImageSummary(labels=labels, at=row.at, **data)
