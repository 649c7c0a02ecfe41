"""Objects of four well-known photographs, each from the clicks below; writes demo/demo.png.

The photographs come with scikit-image. Run with ``make demo``.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np
from skimage import data

import saywhere
from saywhere.storage import render

# (photograph, points on the object, points off it), x and y in pixels. The README names the same ones.
CLICKS = [
    ("astronaut", [(220, 330)], []),
    ("chelsea", [(230, 140)], []),
    ("coffee", [(310, 180)], []),
    ("rocket", [(322, 200)], []),
]
HEIGHT = 360


def main() -> None:
    segmenter = saywhere.load()
    pictures = []
    for name, on, off in CLICKS:
        photo = getattr(data, name)()
        started = time.perf_counter()
        segmenter.set_image(photo)
        for x, y in on:
            mask = segmenter.click(x, y)
        for x, y in off:
            mask = segmenter.click(x, y, positive=False)
        spent = 1000 * (time.perf_counter() - started)
        print(f"{name:10} {len(on) + len(off)} click(s), expected IoU {mask.score:.2f}, {spent:.0f} ms")
        drawn = render.overlay(photo, mask, segmenter.prompt)
        for picture in (photo, drawn):
            width = round(picture.shape[1] * HEIGHT / picture.shape[0])
            pictures.append(cv2.resize(picture, (width, HEIGHT), interpolation=cv2.INTER_AREA))
    rows = [np.hstack(pictures[i : i + 4]) for i in range(0, len(pictures), 4)]
    width = max(row.shape[1] for row in rows)
    sheet = np.vstack([np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0))) for row in rows])
    out = Path("demo/demo.png")
    render.write_image(out, sheet.astype(np.uint8))
    print(f"→ {out}")


if __name__ == "__main__":
    main()
