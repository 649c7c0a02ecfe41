"""How accurate the expected IoU of a mask is, after different numbers of clicks.

    python benchmarks/calibration.py photos-7k:val 500

For each number of clicks: the mean expected IoU, the mean IoU, their mean absolute difference, and how well the first
ranks the masks (Spearman's rank correlation; 95 % bootstrap interval over objects).
"""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np
from scipy.stats import spearmanr

import saywhere
from saywhere.core.mask import Mask
from saywhere.core.prompt import Click
from saywhere.evaluation.benchmark import load_samples
from saywhere.evaluation.evaluate import segment_object
from saywhere.evaluation.robot_user import RobotUser
from saywhere.runtime.timed import TimedRuntime

CLICKS = (1, 2, 3, 5)


class ScoredSegmenter(saywhere.Segmenter):
    """A Segmenter that keeps the expected IoU of its last mask."""

    score = 0.0

    def add(self, click: Click) -> Mask:
        mask = super().add(click)
        self.score = mask.score
        return mask


def main(data: str, limit: str = "500", weights: str | None = None) -> None:
    timed = TimedRuntime(saywhere.load(weights).runtime)
    by_clicks: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for sample in load_samples(data, int(limit)):
        segmenter = ScoredSegmenter(timed)
        for interaction in segment_object(RobotUser(max(CLICKS)), segmenter, timed, sample):
            by_clicks[interaction.k].append((segmenter.score, interaction.iou))
    rng = np.random.default_rng(0)
    for k in CLICKS:
        scores, ious = np.array(by_clicks[k]).T
        resamples = [rng.integers(len(ious), size=len(ious)) for _ in range(1000)]
        low, high = np.percentile([spearmanr(scores[r], ious[r]).statistic for r in resamples], [2.5, 97.5])
        print(
            f"{k} clicks, {len(ious)} objects: expected IoU {scores.mean():.3f}, IoU {ious.mean():.3f}, "
            f"absolute difference {np.abs(scores - ious).mean():.3f}, "
            f"rank correlation {spearmanr(scores, ious).statistic:.2f} ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
