"""What a box is best turned into: mean IoU of the answers to several prompts made from each object's box.

    python examples/boxes.py photos-7k:val 200

Each prompt's answer is measured as it is, and cut to the box. ``box alone`` is the box itself, filled.
"""

from __future__ import annotations

import math
import sys
from dataclasses import replace

import numpy as np

from saywhere import Prompt, load
from saywhere.core import metrics
from saywhere.core.crop import Box
from saywhere.core.geometry import ImageSize
from saywhere.data.datasets import load_dataset
from saywhere.evaluation.benchmark import spread
from saywhere.prelabel.request import box_prompt
from saywhere.prelabel.run import answer, cut


def prompts(box: Box, size: ImageSize) -> dict[str, Prompt]:
    """The alternatives, by name."""
    chosen = box_prompt(box, size)
    centre, *off = chosen.clicks
    drag = replace(centre, radius=min(box[2] - box[0], box[3] - box[1]) / 2.0)
    return {
        "click": Prompt((centre,)),
        "drag": Prompt((drag,)),
        "click, four off": chosen,
        "drag, four off": Prompt((drag, *off)),
        "four off, click": Prompt((*off, centre)),
    }


def main(data: str, limit: int) -> None:
    samples = load_dataset(data)
    segmenter = load()
    ious: dict[str, list[float]] = {}
    for sample in (samples[i] for i in spread(len(samples), limit)):
        target, ignore = sample.target(), sample.ignore()
        ys, xs = np.nonzero(target)
        box = float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)
        filled = np.zeros_like(target)
        filled[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
        ious.setdefault("box alone", []).append(metrics.iou(filled, target, ignore))
        segmenter.set_image(sample.image_path)
        for name, prompt in prompts(box, ImageSize(*target.shape)).items():
            mask = answer(segmenter.new_object(), prompt)
            ious.setdefault(name, []).append(metrics.iou(mask.array, target, ignore))
            ious.setdefault(f"{name}, cut to the box", []).append(metrics.iou(cut(mask, box)[0], target, ignore))
    for name, values in ious.items():
        print(f"{name:34} mean IoU {math.fsum(values) / len(values):.3f} over {len(values)} objects")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
