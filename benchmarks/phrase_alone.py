"""Phrases without clicks: whether the most relevant click lies on the object, the IoU of its mask, and whether absent
objects are recognised.

    python benchmarks/phrase_alone.py photos-7k:val 500

A label that the image is not known to show is given for comparison. Labels of which no word is known are left out.
"""

from __future__ import annotations

import sys

import numpy as np

import saywhere
from saywhere.core import metrics
from saywhere.core.images import read_image
from saywhere.data.datasets import load_dataset
from saywhere.errors import PhraseError
from saywhere.evaluation.benchmark import spread
from saywhere.evaluation.phrases import PhraseMode, with_phrases
from saywhere.runtime.threads import set_threads


def main(data: str, limit: str, weights: str | None = None) -> None:
    set_threads(2)
    segmenter = saywhere.load(weights)
    samples = load_dataset(data)
    own, wrong = (with_phrases(samples, mode) for mode in (PhraseMode.OWN, PhraseMode.WRONG))
    hits, ious, recognised, mistaken = [], [], [], []
    unknown = 0
    for i in spread(len(samples), int(limit)):
        segmenter.set_image(read_image(samples[i].image_path))
        try:
            right = segmenter.propose(own[i].phrase or "")
        except PhraseError:
            unknown += 1
            continue
        target = samples[i].target()
        hits.append(target[int(right.click.y), int(right.click.x)])
        ious.append(metrics.iou(right.mask.array, target, samples[i].ignore()))
        recognised.append(right.is_present)
        try:
            mistaken.append(segmenter.propose(wrong[i].phrase or "").is_present)
        except PhraseError:
            mistaken.append(False)
    low, high = metrics.bootstrap_interval(ious)
    print(f"{len(ious)} objects, {unknown} more with unknown labels")
    print(f"most relevant click on the object: {np.mean(hits):.3f}")
    print(f"mIoU of the phrase alone: {np.mean(ious):.3f} ({low:.3f} to {high:.3f})")
    print(
        f"judged to be present: {np.mean(recognised):.3f} of the objects, {np.mean(mistaken):.3f} of the other labels"
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
