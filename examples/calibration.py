"""How far the expected IoU that a mask carries can be believed, after so many clicks.

    .venv/bin/python examples/calibration.py photos-7k:val 500

For each count of clicks: the mean score, the mean IoU that the masks truly have, how far the two are apart on average,
and how well the score ranks the masks (Spearman's rank correlation; 95 % bootstrap interval over objects).
"""

from __future__ import annotations

import sys
from collections import defaultdict

import numpy as np
from scipy.stats import spearmanr

import saywhere
from saywhere.core import metrics, robot
from saywhere.data.datasets import load_dataset
from saywhere.evaluation.benchmark import spread
from saywhere.evaluation.evaluate import photo_of

CLICKS = (1, 2, 3, 5)


def main(data: str, limit: str = "500", weights: str | None = None) -> None:
    segmenter = saywhere.load(weights)
    samples = load_dataset(data)
    found: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for place in spread(len(samples), int(limit)):
        sample = samples[place]
        target, ignore = sample.target(), sample.ignore()
        segmenter.set_image(photo_of(sample, target))
        click = robot.first_click(target, ignore)
        for k in range(1, max(CLICKS) + 1):
            mask = segmenter.add(click)
            found[k].append((mask.score, metrics.iou(mask.array, target, ignore)))
            following = robot.next_click(target, mask.array, ignore)
            if following is None:
                break
            click = following
    rng = np.random.default_rng(0)
    for k in CLICKS:
        scores, ious = np.array(found[k]).T
        drawn = [rng.integers(len(ious), size=len(ious)) for _ in range(1000)]
        low, high = np.percentile([spearmanr(scores[d], ious[d]).statistic for d in drawn], [2.5, 97.5])
        print(
            f"{k} clicks, {len(ious)} objects: score {scores.mean():.3f}, IoU {ious.mean():.3f}, "
            f"apart {np.abs(scores - ious).mean():.3f}, "
            f"rank correlation {spearmanr(scores, ious).statistic:.2f} ({low:.2f} to {high:.2f})"
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
