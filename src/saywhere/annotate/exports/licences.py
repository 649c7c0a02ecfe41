"""The licences of imported images, which COCO lists once and names by their ids."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from saywhere.annotate.db.store import Store
from saywhere.annotate.db.tables import ImageRow


def collect_licences(store: Store, rows: Iterable[ImageRow]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The licences that images name, and where their ids had to change.

    Two files that were imported may have different licences of one id: the second one gets a free number.

    Args:
        store: the project.
        rows: the images that are exported.

    Returns:
        COCO's list of licences, and the id of its licence by the path of each image that has one.
    """
    licences: list[dict[str, Any]] = []
    ids: dict[str, Any] = {}
    imported = store.images_with_data()
    for row in rows:
        licence = store.history(row.id).state.licence if row.id in imported else None
        if licence is None:
            continue
        same = next((one for one in licences if {**one, "id": 0} == {**licence, "id": 0}), None)
        if same is None:
            taken = {one["id"] for one in licences}
            free = next(number for number in range(1, len(taken) + 2) if number not in taken)
            same = {**licence, "id": free if licence["id"] in taken else licence["id"]}
            licences.append(same)
        ids[row.path] = same["id"]
    return licences, ids
