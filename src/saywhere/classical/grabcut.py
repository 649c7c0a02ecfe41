"""GrabCut (Rother et al. 2004) as OpenCV has it: colour mixtures that are fitted and cut in turns."""

from __future__ import annotations

import cv2
import numpy as np

from saywhere.classical.base import Float, Seeds, decided
from saywhere.images import Photo
from saywhere.prompt import Prompt

ROUNDS = 5


class GrabCut:
    """Starts from the seeds, with all else probably off the object; goes on from the previous answer after that."""

    name, digest, phrases = "grabcut", "", False

    def encode(self, image: Photo) -> Photo:
        return np.ascontiguousarray(image[..., ::-1])

    def decode(self, features: Photo, prompt: Prompt, previous: Float | None) -> Float:
        seeds = Seeds.of(prompt, features.shape[:2])
        labels = np.full(features.shape[:2], cv2.GC_PR_BGD, np.uint8)
        if previous is None:
            # A first guess of what the click may mean: its surroundings.
            around = cv2.dilate(seeds.on.astype(np.uint8), np.ones((3, 3), np.uint8), iterations=min(labels.shape) // 8)
            labels[around > 0] = cv2.GC_PR_FGD
        else:
            labels[previous > 0.5] = cv2.GC_PR_FGD
        labels[seeds.off], labels[seeds.on] = cv2.GC_BGD, cv2.GC_FGD
        if seeds.on.all() or not seeds.on.any() or (labels == cv2.GC_FGD).all():
            return decided(seeds.on)
        # OpenCV draws the mixtures' first centres: the same ones every time, or runs could not be repeated.
        cv2.setRNGSeed(0)
        background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
        cv2.grabCut(features, labels, (0, 0, 1, 1), background, foreground, ROUNDS, cv2.GC_INIT_WITH_MASK)
        return decided((labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD))
