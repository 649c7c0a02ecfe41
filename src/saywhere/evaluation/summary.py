"""From interactions to the numbers of a report; no network is needed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from saywhere.core import metrics
from saywhere.evaluation.evaluate import Interaction

Records = Mapping[str, Sequence[Interaction]]
THRESHOLDS = (80, 85, 90, 95)


def ious_of(records: Records) -> dict[str, list[float]]:
    """IoU after each interaction, by object."""
    return {name: [i.iou for i in some] for name, some in records.items()}


def per_object(most: int) -> dict[str, metrics.PerObject]:
    """The figures that are means or counts over objects."""
    measured: dict[str, metrics.PerObject] = {}
    for percent in THRESHOLDS:
        measured[f"noc{percent}"] = metrics.NoC(percent / 100.0, most)
        measured[f"nof{percent}"] = metrics.NoF(percent / 100.0, most)
    for k in (1, 2, 3, 5, 10):
        measured[f"miou{k}"] = metrics.MeanIoU(k)
    measured["auc"] = metrics.AuC(most)
    return measured


def figures(records: Records, most: int) -> dict[str, Any]:
    """Effort, quality and time over all objects; intervals are 95 % bootstrap intervals over objects."""
    answer: dict[str, Any] = {"objects": len(records)}
    for name, metric in per_object(most).items():
        for key, ious in ious_of(records).items():
            metric.update(key, ious)
        value = metric.compute()
        answer[name] = int(value) if name.startswith("nof") else value
        if name in ("noc85", "noc90", "miou1"):
            answer[f"{name}_interval"] = metrics.interval([metric.values[key] for key in sorted(metric.values)])
    for k in (1, 3):
        rim = metrics.MeanIoU(k)
        for key, some in records.items():
            rim.update(key, [i.boundary_iou for i in some])
        answer[f"boundary_iou{k}"] = rim.compute()
    return answer | times(records)


def times(records: Records) -> dict[str, float]:
    """Median and 95th percentile, in milliseconds.

    ``first_mask`` is the first answer with the photograph's encoding; ``click`` every further answer, closer looks
    included; ``encode`` the network's share of all answers that looked anew, ``decode`` of all answers.
    """
    every = [i for some in records.values() for i in some]
    measured = {
        "first_mask": [i.ms for i in every if i.k == 1],
        "click": [i.ms for i in every if i.k > 1],
        "encode": [i.encode_ms for i in every if i.encode_ms > 0],
        "decode": [i.decode_ms for i in every],
    }
    # A run whose every object is done after one interaction has no further click to time.
    return {
        f"{name}_ms_p{percent}": float(np.percentile(values, percent)) if values else 0.0
        for name, values in measured.items()
        for percent in (50, 95)
    }


def classes(records: Records, most: int, seen: set[str] | None = None) -> dict[str, Any]:
    """NoC@90 and mIoU@1 of each label, and their means over labels that were trained on and that were not.

    Objects without a label are in none. The two means are there only when ``seen`` says what was trained on; None
    where no label is of that kind.
    """
    labels = {name: some[0].label for name, some in records.items()}
    counted = Counter(label for label in labels.values() if label is not None)
    answer: dict[str, Any] = {"objects": dict(sorted(counted.items()))}
    if seen is not None:
        answer["seen"] = sorted(counted.keys() & seen)
    for name in ("noc90", "miou1"):
        metric = per_object(most)[name]
        for key, ious in ious_of(records).items():
            metric.update(key, ious)
        answer[name] = metrics.by_class(metric.values, labels)
        if seen is not None:
            answer[f"{name}_seen"], answer[f"{name}_unseen"] = metrics.seen_unseen(answer[name], seen)
    return answer
