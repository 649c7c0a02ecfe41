"""Objects of four well-known photographs, each from the clicks below; writes demo/demo.png.

The photographs ship with the package. Run with ``make demo``.
"""

from __future__ import annotations

import time
from pathlib import Path

import cv2
import numpy as np

import saywhere
from saywhere.annotate.sample_images import write_samples
from saywhere.core import render
from saywhere.core.images import read_image

IMAGES = Path("demo/images")

# (photograph, points on the object, points off it), x and y in pixels. The README names the same ones.
CLICKS = [
    ("astronaut.jpg", [(220, 330)], []),
    ("chelsea.jpg", [(230, 140)], []),
    ("coffee.jpg", [(310, 180)], []),
    ("rocket.jpg", [(322, 200)], []),
]
HEIGHT = 360


def main() -> None:
    write_samples(IMAGES)
    segmenter = saywhere.load()
    pictures = []
    for name, on, off in CLICKS:
        image = read_image(IMAGES / name)
        started = time.perf_counter()
        segmenter.set_image(image)
        for x, y in on:
            mask = segmenter.click(x, y)
        for x, y in off:
            mask = segmenter.click(x, y, positive=False)
        spent = 1000 * (time.perf_counter() - started)
        print(f"{name:13} {len(on) + len(off)} click(s), expected IoU {mask.score:.2f}, {spent:.0f} ms")
        drawn = mask.overlay(image, segmenter.prompt)
        for picture in (image, drawn):
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
