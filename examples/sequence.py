"""Annotate one kind of object in a folder; each accepted mask improves the next proposal.

python examples/sequence.py              # on three drawn images
python examples/sequence.py FOLDER       # clicks at the centre where nothing is proposed
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np

import saywhere
from saywhere.core.images import read_image


def draw_images(folder: Path) -> None:
    """Three images of a red disc on blue."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, x in enumerate((160, 130, 190)):
        image = np.full((240, 320, 3), (160, 40, 20), np.uint8)  # OpenCV writes BGR
        cv2.circle(image, (x, 120), 50, (20, 30, 220), -1)
        cv2.imwrite(str(folder / f"{number}.png"), image)


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("demo/discs")
    if len(sys.argv) == 1:
        draw_images(folder)
    segmenter = saywhere.load()
    # With folder=None what is learned ends with the program; a path keeps it for the next one.
    with saywhere.Sequence(segmenter, label="disc", folder=None) as sequence:
        for path in sorted(folder.iterdir()):
            image = read_image(path)
            click = sequence.propose(image)
            if click is None:  # nothing is known yet: a person clicks
                click = saywhere.Click(image.shape[1] / 2, image.shape[0] / 2)
            mask = segmenter.add(click)
            sequence.accept()  # or more clicks first, until the mask is right
            print(f"{path.name}: click ({click.x:.0f}, {click.y:.0f}), {mask.array.sum():,} pixels")


if __name__ == "__main__":
    main()
