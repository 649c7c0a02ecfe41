"""Random walker (Grady 2006) as scikit-image has it: who would a walker that avoids edges meet first?"""

from __future__ import annotations

import warnings

import numpy as np
from skimage.segmentation import random_walker

from saywhere.classical.base import Float, Seeds
from saywhere.images import Photo
from saywhere.prompt import Prompt

BETA = 130.0  # how much a walker minds contrast; scikit-image's and the paper's magnitude


class RandomWalker:
    """The probability of reaching a seed on the object before one off it; until the latter are named, the border."""

    name, digest, phrases = "random-walker", "", False

    def encode(self, image: Photo) -> Photo:
        return image

    def decode(self, features: Photo, prompt: Prompt, previous: Float | None) -> Float:
        seeds = Seeds.of(prompt, features.shape[:2]).with_border()
        labels = np.zeros(features.shape[:2], np.int32)
        labels[seeds.off], labels[seeds.on] = 2, 1
        chance = np.where(seeds.on, 1.0, 0.0)
        if (labels == 0).any() and seeds.on.any() and seeds.off.any():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of solvers that are not installed
                found = random_walker(
                    features.astype(np.float64) / 255.0, labels, beta=BETA, mode="cg_j", tol=1e-3,
                    return_full_prob=True, channel_axis=-1,
                )  # fmt: skip
            chance = np.clip(np.asarray(found)[0], 1e-4, 1.0 - 1e-4)
        chance = np.clip(chance, 1e-4, 1.0 - 1e-4)
        return np.log(chance / (1.0 - chance)).astype(np.float32)
