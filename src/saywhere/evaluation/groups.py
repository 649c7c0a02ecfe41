"""Groups of objects, to compare runs on each of them."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from saywhere.core import robot
from saywhere.core.rle import RunLengths
from saywhere.data.datasets import Sample, load_dataset
from saywhere.data.datasets.parts import lies_inside_another
from saywhere.errors import SaywhereError

SMALL = 0.03  # share of the image under which a whole object is small
MANY_INSTANCES = 4  # of one label in an image; more are in the same group
NO_LABEL = "(no label)"


class Grouping(StrEnum):
    """What objects are grouped by.

    ``kind``: "part" (at least 80 % of it lie inside a labelled object at least 1.5 times as large), "small whole"
    (under 3 % of the image) or "whole". ``label``: the label. ``dataset``: the folder of the image, for data that was
    put together from several sets. ``seen``: whether the label was trained on. ``ambiguity``: whether the first click
    also lies on another labelled object. ``instances``: how many labelled objects of the image have its label (the
    distractors of Text+Click, figure 8).
    """

    KIND = "kind"
    LABEL = "label"
    DATASET = "dataset"
    SEEN = "seen"
    AMBIGUITY = "ambiguity"
    INSTANCES = "instances"


def group_objects(by: Grouping, run: Mapping[str, Any]) -> dict[str, list[str]]:
    """Group the objects of a run.

    Args:
        by: what they are grouped by.
        run: figures of ``saywhere bench``.

    Returns:
        The names of the objects in each group, the largest group first.

    Raises:
        SaywhereError: the data set of the run is not here, does not have its objects any more, or nobody knows which
            labels were trained on.
    """
    samples = load_dataset(run["data"])
    if missing := run["ious"].keys() - {sample.name for sample in samples}:
        raise SaywhereError(f"--by {by}: data '{run['data']}' has no object '{min(missing)}'; was it changed?")
    if by is Grouping.SEEN:
        seen = run.get("classes", {}).get("seen")
        if seen is None:
            raise SaywhereError("--by seen: the run does not say which labels were trained on; measure it with --seen")
        group_of = {sample.name: seen_group(sample.label, seen) for sample in samples}
    elif by is Grouping.KIND:
        group_of = _per_image(samples, kinds)
    elif by is Grouping.AMBIGUITY:
        group_of = _per_image(samples, ambiguities)
    elif by is Grouping.INSTANCES:
        group_of = _per_image(samples, instances)
    else:
        group_of = {s.name: (s.label or NO_LABEL) if by is Grouping.LABEL else s.group for s in samples}
    groups: dict[str, list[str]] = defaultdict(list)
    for name in sorted(run["ious"]):
        groups[group_of[name]].append(name)
    return dict(sorted(groups.items(), key=lambda item: -len(item[1])))


def seen_group(label: str | None, seen: Collection[str]) -> str:
    """The group of a label: "seen", "unseen", or that of objects without a label."""
    if label is None:
        return NO_LABEL
    return "seen" if label in seen else "unseen"


def kinds(samples: Sequence[Sample]) -> list[str]:
    """The kind of each object of one image."""
    regions = [RunLengths.from_mask(sample.target()) for sample in samples]
    return [
        "part" if is_part else "small whole" if region.area < SMALL * region.height * region.width else "whole"
        for region, is_part in zip(regions, lies_inside_another(regions), strict=True)
    ]


def ambiguities(samples: Sequence[Sample]) -> list[str]:
    """Whether the first click on each object of one image also lies on another one."""
    masks = [sample.target() for sample in samples]
    groups = []
    for i, sample in enumerate(samples):
        click = robot.first_click(masks[i], sample.ignore())
        shared = any(mask[int(click.y), int(click.x)] for j, mask in enumerate(masks) if j != i)
        groups.append("ambiguous" if shared else "not ambiguous")
    return groups


def instances(samples: Sequence[Sample]) -> list[str]:
    """How many objects of one image have the label of each, itself included."""
    counted = Counter(sample.label for sample in samples)
    return [NO_LABEL if sample.label is None else instances_group(counted[sample.label]) for sample in samples]


def instances_group(count: int) -> str:
    """The group of a number of objects of one label: "1 instance" to "4 or more instances"."""
    if count >= MANY_INSTANCES:
        return f"{MANY_INSTANCES} or more instances"
    return "1 instance" if count == 1 else f"{count} instances"


def _per_image(samples: Iterable[Sample], groups_of: Callable[[Sequence[Sample]], list[str]]) -> dict[str, str]:
    """The group of each object by its name, from a function of the objects of one image."""
    by_image: dict[Path, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_image[sample.image_path].append(sample)
    return {
        sample.name: group
        for together in by_image.values()
        for sample, group in zip(together, groups_of(together), strict=True)
    }
