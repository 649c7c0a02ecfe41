"""GrabCut (Rother et al. 2004) as OpenCV has it: colour mixtures that are fitted and cut in turns."""

from __future__ import annotations

import cv2
import numpy as np

from saywhere.classical.base import Float, Seeds, away, decided, held_together
from saywhere.images import Photo
from saywhere.prompt import Prompt

ROUNDS = 1
AROUND = 0.125  # of the shorter side: what a positive click may mean, as a first guess
COLLAPSED = 2.0  # an answer of fewer pixels than this many times the seeds' has lost the object


class GrabCut:
    """Goes on from the previous answer, or from the surroundings of the clicks when there is none to go on from.

    Mixtures that were fitted to hardly more than the seeds find the seeds again, whatever else is clicked.
    """

    name, digest, phrases = "grabcut", "", False

    def encode(self, image: Photo) -> Photo:
        return np.ascontiguousarray(image[..., ::-1])

    def decode(self, features: Photo, prompt: Prompt, previous: Float | None) -> Float:
        shape = features.shape[:2]
        seeds = Seeds.of(prompt, shape).with_border()
        sought = away(seeds.on) <= AROUND * min(shape)
        if previous is not None and np.count_nonzero(previous > 0.5) >= COLLAPSED * np.count_nonzero(seeds.on):
            sought = previous > 0.5
        labels = np.where(sought, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        labels[seeds.off], labels[seeds.on] = cv2.GC_BGD, cv2.GC_FGD
        if not (seeds.on.any() and (labels % 2 == cv2.GC_BGD).any()):
            return decided(seeds.on)
        # OpenCV draws the mixtures' first centres: the same ones every time, or runs could not be repeated.
        cv2.setRNGSeed(0)
        background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(features, labels, (0, 0, 1, 1), background, foreground, ROUNDS, cv2.GC_INIT_WITH_MASK)
        return decided(held_together(labels % 2 == cv2.GC_FGD, seeds.on))
