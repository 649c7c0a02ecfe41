"""What an export holds, with hashes, by which two exports of a project can be compared."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import saywhere
from saywhere.annotate.exports.options import ExportOptions
from saywhere.data.formats.annotated_image import AnnotatedImage
from saywhere.data.formats.names import MANIFEST
from saywhere.data.split import RULE

__all__ = ["MANIFEST", "Manifest", "ManifestBuilder", "annotations_hash", "compare"]

Manifest = dict[str, Any]


@dataclass
class ManifestBuilder:
    """Collects what a manifest says while images are written.

    Attributes:
        splits: the part of each image, by its name.
        images: an entry for each image.
        labels: objects by label.
    """

    splits: Mapping[str, str] = field(default_factory=dict)
    images: list[dict[str, Any]] = field(default_factory=list)
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, image: AnnotatedImage, sha256: str | None) -> None:
        """Add an image; ``sha256`` is that of its file."""
        entry: dict[str, Any] = {
            "file": image.file_name, "sha256": sha256, "objects": len(image.annotations),
            "annotations": annotations_hash(image),
        }  # fmt: skip
        if image.file_name in self.splits:
            entry["split"] = self.splits[image.file_name]
        self.images.append(entry)
        self.labels.update(each.class_name for each in image.annotations)

    def build(
        self, options: ExportOptions, version: int | None, project: str, person: str,
        left_out: Sequence[str], notes: Sequence[str],
    ) -> Manifest:  # fmt: skip
        """The manifest.

        Args:
            options: of the export.
            version: its number in the project; None where none is kept.
            project: name of the folder.
            person: who exports.
            left_out: what is not exported and why.
            notes: what the format could not hold.
        """
        whole = hashlib.sha256("".join(f"{e['file']}\n{e['annotations']}\n" for e in self.images).encode())
        return {
            "program": f"saywhere {saywhere.__version__}",
            "project": project,
            "version": version,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "person": person,
            "options": options.as_json(),
            "counts": {
                "images": len(self.images),
                "objects": sum(entry["objects"] for entry in self.images),
                "labels": dict(sorted(self.labels.items())),
                "splits": dict(Counter(entry["split"] for entry in self.images if "split" in entry)),
            },
            "split_rule": None if options.split is None else RULE,
            "annotations_sha256": whole.hexdigest(),
            "left_out": list(left_out),
            "notes": list(notes),
            "images": self.images,
        }


def annotations_hash(image: AnnotatedImage) -> str:
    """SHA-256 of an image's annotations, whatever their order."""
    rows = [
        [each.class_name, each.region.text, each.score, each.author, dict(each.extra)] for each in image.objects
    ] + [[each.class_name, list(each.box), each.score, each.author, dict(each.extra)] for each in image.boxes]
    return hashlib.sha256("\n".join(sorted(json.dumps(row, sort_keys=True) for row in rows)).encode()).hexdigest()


def compare(before: Manifest, after: Manifest) -> dict[str, Any]:
    """What changed between two exports.

    Args:
        before: the manifest of the earlier one.
        after: that of the later one.

    Returns:
        ``added``, ``removed``, ``changed`` (other annotations), ``files`` (another file) and ``moved`` (another part of
        the split): names of images; ``labels``: the numbers of objects before and after, and ``options``: the values
        before and after, both only where they differ.
    """
    old, new = ({entry["file"]: entry for entry in one["images"]} for one in (before, after))
    both = [name for name in new if name in old]

    def differing(key: str) -> list[str]:
        return [name for name in both if old[name].get(key) != new[name].get(key)]

    def values(key: str, default: Any) -> dict[str, list[Any]]:
        first, second = (one["options"] if key == "options" else one["counts"]["labels"] for one in (before, after))
        names = sorted({*first, *second})
        pairs = {name: [first.get(name, default), second.get(name, default)] for name in names}
        return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}

    return {
        "from": before["version"],
        "to": after["version"],
        "added": [name for name in new if name not in old],
        "removed": [name for name in old if name not in new],
        "changed": differing("annotations"),
        "files": differing("sha256"),
        "moved": differing("split"),
        "labels": values("labels", 0),
        "options": values("options", None),
    }
