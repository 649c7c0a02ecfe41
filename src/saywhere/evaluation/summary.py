"""From interactions to figures; no network is needed."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saywhere.core import metrics
from saywhere.evaluation.evaluate import Interaction

Records = Mapping[str, Sequence[Interaction]]
THRESHOLDS = (80, 85, 90, 95)
MEAN_IOU = re.compile(r"miou[1-9][0-9]*")


def ious_of(records: Records) -> dict[str, list[float]]:
    """IoU after each interaction, by object."""
    return {name: [i.iou for i in interactions] for name, interactions in records.items()}


def per_object(max_interactions: int) -> dict[str, metrics.PerObject]:
    """The metrics that are means or counts over objects, by name."""
    by_name: dict[str, metrics.PerObject] = {}
    for percent in THRESHOLDS:
        by_name[f"noc{percent}"] = metrics.NoC(percent / 100.0, max_interactions)
        by_name[f"nof{percent}"] = metrics.NoF(percent / 100.0, max_interactions)
    for k in (1, 2, 3, 5, 10):
        by_name[f"miou{k}"] = metrics.MeanIoU(k)
    by_name["auc"] = metrics.AuC(max_interactions)
    return by_name


def values_of(name: str, max_interactions: int, ious: Mapping[str, Sequence[float]]) -> metrics.PerObject:
    """One metric of :func:`per_object`, with the objects of a run.

    Args:
        name: the metric, for example ``"noc90"`` or ``"miou1"``.
        max_interactions: the limit of the run.
        ious: the IoU after each interaction, by object.
    """
    metric = metrics.MeanIoU(int(name[4:])) if MEAN_IOU.fullmatch(name) else per_object(max_interactions)[name]
    for key, values in ious.items():
        metric.update(key, values)
    return metric


def figures(records: Records, max_interactions: int) -> dict[str, Any]:
    """Effort, quality and time over all objects; intervals are 95 % bootstrap intervals over objects."""
    result: dict[str, Any] = {"objects": len(records)}
    for name, metric in per_object(max_interactions).items():
        for key, ious in ious_of(records).items():
            metric.update(key, ious)
        value = metric.compute()
        result[name] = int(value) if name.startswith("nof") else value
        if name in ("noc85", "noc90", "miou1"):
            values = [metric.values[key] for key in sorted(metric.values)]
            result[f"{name}_interval"] = metrics.bootstrap_interval(values)
    for k in (1, 3):
        boundary = metrics.MeanIoU(k)
        for key, interactions in records.items():
            boundary.update(key, [i.boundary_iou for i in interactions])
        result[f"boundary_iou{k}"] = boundary.compute()
    return result | phrase_figures(records, max_interactions) | choice_figures(records) | times(records)


def choice_figures(records: Records) -> dict[str, float]:
    """``choices``: how many candidate masks the robot user chose for an object, where it chose any."""
    choices = [sum(i.choice is not None for i in interactions) for interactions in records.values()]
    return {"choices": float(np.mean(choices))} if any(choices) else {}


def phrase_figures(records: Records, max_interactions: int) -> dict[str, Any]:
    """Figures of phrases, in runs that have them.

    Returns:
        ``noc85_clicks_only`` and ``noc90_clicks_only``, in which phrases cost nothing (the main figures count them),
        with 95 % bootstrap intervals over objects; ``phrases_without_effect``, the share of phrases that left the mask
        as it was, because the method does not know their words or does not use them. Empty in runs without phrases.
    """
    pairs = [(list(past[:k]), i) for past in records.values() for k, i in enumerate(past) if i.phrase is not None]
    if not pairs:
        return {}
    result: dict[str, Any] = {}
    for percent in (85, 90):
        reached = {
            name: metrics.first_reaching([i.iou for i in past], percent / 100.0, max_interactions)
            for name, past in sorted(records.items())
        }
        clicks = [
            float(max_interactions if k is None else sum(i.phrase is None for i in records[name][:k]))
            for name, k in reached.items()
        ]
        result[f"noc{percent}_clicks_only"] = float(np.mean(clicks))
        result[f"noc{percent}_clicks_only_interval"] = metrics.bootstrap_interval(clicks)
    # A phrase that comes first and has no effect leaves no mask, hence no score.
    unchanged = [past[-1].mask == i.mask if past else i.score is None for past, i in pairs]
    return result | {"phrases_without_effect": float(np.mean(unchanged))}


def times(records: Records) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds.

    ``first_mask`` is the first answer with the image's encoding; ``click`` every further answer, with the encoding of
    new crops; ``encode`` the encoder's share of all answers that encoded a crop, ``decode`` the decoder's of all.
    """
    interactions = [i for of_object in records.values() for i in of_object]
    measured = {
        "first_mask": [i.ms for i in interactions if i.k == 1],
        "click": [i.ms for i in interactions if i.k > 1],
        "encode": [i.encode_ms for i in interactions if i.encode_ms > 0],
        "decode": [i.decode_ms for i in interactions],
    }
    # A run whose every object is done after one interaction has no further click to time.
    return {
        f"{name}_ms_p{percent}": float(np.percentile(values, percent)) if values else 0.0
        for name, values in measured.items()
        for percent in (50, 95)
    }


def classes(records: Records, max_interactions: int, seen: set[str] | None = None) -> dict[str, Any]:
    """NoC@90 and mIoU@1 of each label, and their means over labels that were trained on and that were not.

    Args:
        records: interactions by object; objects without a label are in no class.
        max_interactions: the limit of the run.
        seen: the labels that were trained on; None: nobody knows, and the two means are left out.

    Returns:
        Values by label; a mean over seen or unseen labels is None where there are none.
    """
    labels = {name: interactions[0].label for name, interactions in records.items()}
    counted = Counter(label for label in labels.values() if label is not None)
    result: dict[str, Any] = {"objects": dict(sorted(counted.items()))}
    if seen is not None:
        result["seen"] = sorted(counted.keys() & seen)
    for name in ("noc90", "miou1"):
        metric = values_of(name, max_interactions, ious_of(records))
        result[name] = metrics.by_class(metric.values, labels)
        if seen is not None:
            result[f"{name}_seen"], result[f"{name}_unseen"] = metrics.seen_unseen(result[name], seen)
    return result
