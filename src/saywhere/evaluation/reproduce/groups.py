"""Groups of objects by which a table's figures are split."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from saywhere.data.datasets import Sample, load_dataset
from saywhere.errors import SaywhereError
from saywhere.evaluation.groups import MANY_INSTANCES, ambiguities, instances, instances_group, kinds

GROUPINGS: dict[Callable[[Sequence[Sample]], list[str]], tuple[str, ...]] = {
    kinds: ("part", "whole"),
    ambiguities: ("ambiguous", "not ambiguous"),
    instances: tuple(instances_group(count) for count in range(1, MANY_INSTANCES + 1)),
}
"""Functions of the objects of one image, and the groups that they tell apart; a small whole counts as a whole."""


def object_names(group: str | None, data: str, seen: Collection[str] | None) -> set[str] | None:
    """The names of the objects of a group.

    Args:
        group: "seen" or "unseen" (whether the network saw the label), or one of :data:`GROUPINGS`; None: all objects.
        data: the data set.
        seen: the labels that the network saw; None: all.

    Returns:
        The names; None for all objects.

    Raises:
        SaywhereError: there is no such group.
    """
    if group is None:
        return None
    samples = load_dataset(data)
    if group in ("seen", "unseen"):
        known = {str(sample.label) for sample in samples} if seen is None else set(seen)
        return {s.name for s in samples if s.label is not None and (s.label in known) == (group == "seen")}
    function = next((function for function, groups in GROUPINGS.items() if group in groups), None)
    if function is None:
        known_groups = ", ".join(name for groups in GROUPINGS.values() for name in groups)
        raise SaywhereError(f"group '{group}': choose from seen, unseen, {known_groups}")
    by_image: dict[Path, list[Sample]] = defaultdict(list)
    for sample in samples:
        by_image[sample.image_path].append(sample)
    return {
        sample.name
        for together in by_image.values()
        for sample, kind in zip(together, function(together), strict=True)
        if kind.removeprefix("small ") == group
    }
