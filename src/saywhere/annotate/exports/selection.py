"""Which images are exported: those that somebody annotated. What is left out is said."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from saywhere.annotate.db.store import Store
from saywhere.annotate.db.tables import ImageRow

ALL_IMAGES = 2**31 - 1


@dataclass(frozen=True)
class Selection:
    """The images of an export.

    Attributes:
        rows: the images, by path.
        left_out: what is not exported and why, a line for each reason.
    """

    rows: tuple[ImageRow, ...]
    left_out: tuple[str, ...]


def select_images(store: Store, only_done: bool = True, only_approved: bool = False) -> Selection:
    """The images to export.

    An image without an object is a negative only where somebody marked it as done: that it was opened, or loaded ahead,
    says nothing of what is in it.

    Args:
        store: the project.
        only_done: leave out images that are not done; else those that have an object are exported too.
        only_approved: leave out images that are not approved as they are now.

    Returns:
        The images, and what is left out.
    """
    _, rows = store.list_images(limit=ALL_IMAGES)
    reviews = {id: one.review for id, one in store.summaries().items()} if only_approved else {}
    kept, images, objects = [], Counter[str](), Counter[str]()
    unloaded = 0
    for row in rows:
        status = row.state
        if only_approved and status == "done" and reviews.get(row.id) != "approved":
            status = "unapproved"
        exported = status == "done" or (status == "started" and not only_done and not only_approved)
        if exported and row.width is not None and row.height is not None:
            kept.append(row)
        elif exported:
            unloaded += 1
        else:
            images[status] += 1
            objects[status] += row.objects
    lines = [
        _line(images["unapproved"], objects["unapproved"], "done and not approved"),
        _line(images["started"], objects["started"], "started and not done"),
        _line(images["skipped"], objects["skipped"], "skipped"),
        _line(images["new"], 0, "not annotated"),
        _line(unloaded, 0, "of unknown size"),
    ]
    return Selection(tuple(kept), tuple(line for line in lines if line))


def _line(images: int, objects: int, why: str) -> str:
    """What is left out for one reason; nothing where no image is."""
    if not images:
        return ""
    of = f", with {objects:,} {'object' if objects == 1 else 'objects'}" if objects else ""
    return f"left out: {images:,} {'image' if images == 1 else 'images'} {why}{of}"
