"""How far the scores of masks are from their IoU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saywhere.evaluation.evaluate import Interaction

BINS = 10
SCORES = ("score", "predicted_iou")
"""Attributes of an interaction that say what IoU to expect."""


def calibration_error(scores: Sequence[float], ious: Sequence[float], bins: int = BINS) -> float:
    """The mean absolute difference between score and IoU over bins of equal width, each weighted by its masks.

    The expected calibration error of Naeini et al. (2015), with the IoU in the place of accuracy.

    Args:
        scores: ``(N,)``, the IoU that each mask is expected to have, in [0, 1].
        ious: ``(N,)``, the IoU that it has.
        bins: number of bins.

    Example:
        >>> calibration_error([0.95, 0.91, 0.32], [1.0, 0.86, 0.22])  # bins 0.9 to 1 and 0.3 to 0.4
        0.03333333333333333
    """
    return float(_error(_differences(np.stack([scores, ious], axis=1), bins)))


def _differences(pairs: NDArray[np.float64], bins: int) -> NDArray[np.float64]:
    """Sums over masks, from which the errors of any set of objects follow.

    Args:
        pairs: ``(N, 2)`` score and IoU of each mask.
        bins: number of bins.

    Returns:
        ``(bins + 1,)``: the sum of score less IoU in each bin, and the number of masks.
    """
    scores, ious = pairs.T
    places = np.clip((scores * bins).astype(int), 0, bins - 1)
    return np.append(np.bincount(places, scores - ious, bins), len(scores))


def _error(sums: NDArray[np.float64]) -> Any:
    """The error of ``(..., bins + 1)`` sums of :func:`_differences`."""
    return np.abs(sums[..., :-1]).sum(-1) / sums[..., -1]


def calibration_figures(records: Mapping[str, Sequence[Interaction]]) -> dict[str, Any]:
    """Calibration errors of scores after the first interaction and after all of them.

    Args:
        records: interactions by object.

    Returns:
        ``score_calibration_error1`` and ``score_calibration_error``, and the same for ``predicted_iou``, each with the
        95 % bootstrap interval over objects; none for scores that no interaction has.
    """
    result: dict[str, Any] = {}
    for score in SCORES:
        for name, count in (("1", 1), ("", None)):
            pairs = [
                [(value, i.iou) for i in interactions[:count] if (value := getattr(i, score)) is not None]
                for _, interactions in sorted(records.items())
            ]
            # Sums of each object are enough: a resample adds those of the objects that it draws.
            sums = np.array([_differences(np.array(of_object), BINS) for of_object in pairs if of_object])
            if len(sums):
                result[f"{score}_calibration_error{name}"] = float(_error(sums.sum(0)))
                result[f"{score}_calibration_error{name}_interval"] = _interval(sums)
    return result


def _interval(sums: NDArray[np.float64], seed: int = 0, resamples: int = 2000) -> tuple[float, float]:
    """The 95 % bootstrap interval of the error over objects, from ``(objects, bins + 1)`` sums."""
    rng, count = np.random.default_rng(seed), len(sums)
    errors = [float(_error(sums[rng.integers(0, count, count)].sum(0))) for _ in range(resamples)]
    low, high = np.percentile(errors, [2.5, 97.5])
    return float(low), float(high)
