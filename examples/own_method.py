"""Measure a method of one's own with the robot user: it needs a name, ``encode`` and ``decode``.

PYTHONPATH=. saywhere bench --data grabcut --model own_method:make --json own.json     # in this folder
python examples/own_method.py     # on one image, without a dataset
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from saywhere import Prompt, Segmenter
from saywhere.annotate.sample_images import write_samples
from saywhere.runtime.base import Runtime


class SimilarColour(Runtime):
    """The object is what has the colour of a positive click more than that of a negative one."""

    name = "similar-colour"

    def encode(self, image: np.ndarray) -> np.ndarray:
        """Once for each image; the result is kept for all clicks."""
        return image.astype(np.float32)

    def decode(self, features: np.ndarray, prompt: Prompt, previous: np.ndarray | None) -> np.ndarray:
        """Logits ``(H, W)``, above 0 on the object; ``previous`` is the last mask's probability."""
        distances = {True: [np.full(features.shape[:2], 200.0)], False: [np.full(features.shape[:2], 60.0)]}
        for click in prompt.clicks:
            colour = features[round(click.y), round(click.x)]
            distances[click.positive].append(np.linalg.norm(features - colour, axis=2))
        return ((np.min(distances[False], axis=0) - np.min(distances[True], axis=0)) / 10.0).astype(np.float32)


def make() -> SimilarColour:
    return SimilarColour()


def main() -> None:
    rocket = write_samples(Path("demo/images"))[-1]
    mask = Segmenter(make()).set_image(rocket).click(322, 200)
    print(f"{mask.array.sum():,} pixels of the rocket's colour")


if __name__ == "__main__":
    main()
