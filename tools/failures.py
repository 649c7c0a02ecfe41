"""What the shipped weights are bad at: one click each on scikit-image's pictures; writes docs/images/failures.jpg."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from skimage import data

import saywhere
from saywhere.core import render

# (what is shown, photograph, the click)
CASES = [
    ("a flag: a piece of it, and of the wall", data.astronaut, (70, 150)),
    ("thin: the man too", data.camera, (330, 330)),
    ("dark on dark: not his legs", data.camera, (230, 280)),
    ("on the cup: most of the saucer too", data.coffee, (190, 120)),
    ("no photograph: a cell", data.cell, (270, 330)),
    ("no photograph: an eye's inside", data.retina, (380, 700)),
    ("no photograph: printed words", data.page, (100, 60)),
    ("nothing there: the evening sky", data.rocket, (370, 250)),
]
SIDE = 300


def main() -> None:
    segmenter, tiles = saywhere.load(), []
    for name, photograph, click in CASES:
        pixels = np.asarray(photograph())
        pixels = cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB) if pixels.ndim == 2 else pixels[..., :3]
        mask = segmenter.set_image(pixels).click(*click)
        drawn = mask.overlay(pixels, segmenter.prompt)
        scale = SIDE / max(drawn.shape[:2])
        small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        tile = np.full((SIDE + 24, SIDE, 3), 255, np.uint8)
        tile[24 : 24 + small.shape[0], : small.shape[1]] = small
        cv2.putText(tile, name, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 1, cv2.LINE_AA)
        tiles.append(tile)
        print(f"{name}: expected IoU {mask.score:.2f}")
    sheet = np.vstack([np.hstack(tiles[row : row + 4]) for row in range(0, len(tiles), 4)])
    render.write_image(Path("docs/images/failures.jpg"), sheet)


if __name__ == "__main__":
    main()
