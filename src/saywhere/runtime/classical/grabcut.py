"""GrabCut (Rother et al. 2004), OpenCV's: colour mixtures are fitted and the graph is cut, alternately."""

from __future__ import annotations

import cv2
import numpy as np

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.prompt import Prompt
from saywhere.runtime.base import Runtime
from saywhere.runtime.classical.base import Seeds, components_with_seed, distance_to, hard_logits

ROUNDS = 1
AROUND = 0.125  # of the shorter side: pixels this near to a positive click are probable foreground at first


class GrabCut(Runtime):
    """Starts anew at every click: what is near a positive click is probable foreground, all else probable background.

    It never starts from its previous mask: mixtures that were fitted to hardly more than the seeds give little more
    than the seeds again, whatever else is clicked.
    """

    name = "grabcut"

    def encode(self, image: ImageArray) -> ImageArray:
        return np.ascontiguousarray(image[..., ::-1])

    def decode(self, features: ImageArray, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        shape = features.shape[:2]
        seeds = Seeds.of(prompt, shape).with_border()
        around = distance_to(seeds.on) <= AROUND * min(shape)
        labels = np.where(around, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        labels[seeds.off], labels[seeds.on] = cv2.GC_BGD, cv2.GC_FGD
        inside = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if inside.any() and not inside.all():  # or OpenCV has nothing to fit one of its mixtures to
            # OpenCV draws the mixtures' first centres: the same ones every time, or runs could not be repeated.
            cv2.setRNGSeed(0)
            background, foreground = np.zeros((1, 65)), np.zeros((1, 65))
            cv2.grabCut(features, labels, (0, 0, 1, 1), background, foreground, ROUNDS, cv2.GC_INIT_WITH_MASK)
            inside = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        return hard_logits(components_with_seed(inside, seeds.on))
