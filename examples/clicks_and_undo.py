"""Correct a mask with clicks, and take a click back: ``python examples/clicks_and_undo.py``."""

from __future__ import annotations

from pathlib import Path

import saywhere
from saywhere.annotate.sample_images import write_samples


def main() -> None:
    astronaut = write_samples(Path("demo/images"))[0]
    segmenter = saywhere.load().set_image(astronaut)

    mask = segmenter.click(220, 330)  # on the suit; x and y in pixels, origin top left
    print(f"one click:        {mask.area:7,} pixels, expected IoU {mask.score:.2f}")

    mask = segmenter.click(225, 120, positive=False)  # not the face
    print(f"without the face: {mask.area:7,} pixels, expected IoU {mask.score:.2f}")

    segmenter.undo()  # the mask of one click again
    mask = segmenter.redo() or mask
    print(f"undone, redone:   {mask.area:7,} pixels")

    mask.save("demo/suit.png")
    print("→ demo/suit.png")


if __name__ == "__main__":
    main()
