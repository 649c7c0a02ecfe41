"""GrabCut (Rother et al. 2004) by OpenCV: alternately fits colour mixtures and cuts the graph."""

from __future__ import annotations

import cv2
import numpy as np

from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.prompt import Prompt
from saywhere.runtime.base import Runtime
from saywhere.runtime.classical.base import Seeds, components_with_seed, distance_to, mask_to_logits

ITERATIONS = 1
FOREGROUND_DISTANCE = 0.125  # pixels nearer to a positive seed start as probable foreground; of the shorter side


class GrabCut(Runtime):
    """GrabCut that starts again at every click.

    Pixels near a positive click start as probable foreground, all others as probable background. It does not start from
    the previous mask: if that is hardly larger than the seeds, so is the next one, whatever is clicked.
    """

    name = "grabcut"

    def encode(self, image: ImageArray) -> ImageArray:
        return np.ascontiguousarray(image[..., ::-1])

    def decode(self, features: ImageArray, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        shape = features.shape[:2]
        seeds = Seeds.from_prompt(prompt, shape).with_border()
        near = distance_to(seeds.foreground) <= FOREGROUND_DISTANCE * min(shape)
        labels = np.where(near, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
        labels[seeds.background], labels[seeds.foreground] = cv2.GC_BGD, cv2.GC_FGD
        inside = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        if inside.any() and not inside.all():  # else OpenCV has no pixels for one of its mixtures
            # OpenCV draws the mixtures' initial centres; with a seed the same clicks give the same mask.
            cv2.setRNGSeed(0)
            models = np.zeros((1, 65)), np.zeros((1, 65))  # of background and foreground
            cv2.grabCut(features, labels, (0, 0, 1, 1), *models, ITERATIONS, cv2.GC_INIT_WITH_MASK)
            inside = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD))
        return mask_to_logits(components_with_seed(inside, seeds.foreground))
