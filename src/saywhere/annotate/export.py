"""Masks for other programs."""

from __future__ import annotations

from typing import Any

from saywhere.annotate.store import Store


def as_coco(store: Store, only_done: bool = False) -> dict[str, Any]:
    """The whole project as COCO JSON with run lengths; objects without a label are of category 'object'."""
    from pycocotools import mask as coco

    labels = store.all_labels()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    used: set[int] = set()
    _, rows = store.images("done" if only_done else None, limit=2**31 - 1)
    for row in rows:
        if row.width is None or row.height is None:
            continue
        images.append({"id": row.id, "file_name": row.path, "width": row.width, "height": row.height})
        things = [t for t in store.state(row.id).things.values() if t.mask is not None and t.area]
        masks = store.masks(row.id, [t.mask for t in things if t.mask is not None])
        for thing in things:
            assert thing.mask is not None, "filtered above"
            packed = {"size": [row.height, row.width], "counts": masks[thing.mask]}
            category = thing.label if thing.label in labels else 0
            used.add(category)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": row.id,
                    "category_id": category,
                    "iscrowd": 0,
                    "area": thing.area,
                    "bbox": [float(v) for v in coco.toBbox(packed)],
                    "segmentation": {"size": packed["size"], "counts": masks[thing.mask].decode("ascii")},
                }
            )
    categories = [{"id": id, "name": row.name} for id, row in labels.items() if id in used or not row.hidden]
    if 0 in used:
        categories.append({"id": 0, "name": "object"})
    return {"images": images, "annotations": annotations, "categories": categories}
