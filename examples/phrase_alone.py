"""What a phrase alone finds: whether the best click lies on the object, the mask's IoU, and whether it knows what is
not there.

    .venv/bin/python examples/phrase_alone.py photos-7k:val 500

A label that the photograph is not known to show is said for comparison. Labels of which no word is known are left out.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import saywhere
from saywhere.core import metrics
from saywhere.core.images import read_image
from saywhere.data.datasets import load_dataset
from saywhere.errors import PhraseError
from saywhere.evaluation.benchmark import spread
from saywhere.evaluation.phrases import PhraseMode, with_phrases


def main(data: str, limit: str, weights: str | None = None) -> None:
    torch.set_num_threads(2)
    segmenter = saywhere.load(weights)
    samples = load_dataset(data)
    own, wrong = (with_phrases(samples, saying) for saying in (PhraseMode.OWN, PhraseMode.WRONG))
    hits, ious, found, mistaken = [], [], [], []
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
        found.append(right.found)
        try:
            mistaken.append(segmenter.propose(wrong[i].phrase or "").found)
        except PhraseError:
            mistaken.append(False)
    low, high = metrics.bootstrap_interval(ious)
    print(f"{len(ious)} objects, {unknown} more with unknown labels")
    print(f"best click on the object: {np.mean(hits):.3f}")
    print(f"mIoU of the phrase alone: {np.mean(ious):.3f} ({low:.3f} to {high:.3f})")
    print(f"taken to be there: {np.mean(found):.3f} of what is, {np.mean(mistaken):.3f} of what is not known to be")


if __name__ == "__main__":
    main(*sys.argv[1:])
