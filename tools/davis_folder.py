"""Writes objects of a dataset as a folder in the layout of DAVIS 2017 at 480p, one sequence of one frame for each.

    python tools/davis_folder.py duts:val --limit 100 --out runs/duts-as-davis

Evaluators of other programs, such as darktable-ai's, read this layout.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from saywhere.core.images import read_image
from saywhere.evaluation.benchmark import load_samples


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", help="name of a dataset")
    parser.add_argument("--limit", type=int, help="this many objects, evenly spread")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    samples = load_samples(options.data, options.limit)
    for number, sample in enumerate(samples):
        for kind, ending, content in (
            ("JPEGImages", "jpg", read_image(sample.image_path)),
            ("Annotations", "png", sample.target().astype(np.uint8)),
        ):
            folder = options.out / kind / "480p" / f"{number:04}"
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(folder / f"00000.{ending}", quality=95)
    print(f"{len(samples)} objects → {options.out}")


if __name__ == "__main__":
    main()
