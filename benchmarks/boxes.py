"""The best prompt for a box: mean IoU of the masks of several prompts that are made from each object's box.

    python benchmarks/boxes.py photos-7k:val 200

Each prompt's mask is measured as it is, and cropped to the box. ``box alone`` is the box itself, filled.
"""

from __future__ import annotations

import math
import sys
from collections import defaultdict
from dataclasses import replace

import numpy as np

from saywhere import Prompt, load
from saywhere.core import metrics
from saywhere.core.geometry import Box, ImageSize
from saywhere.evaluation.benchmark import load_samples
from saywhere.prelabel.request import box_prompt
from saywhere.prelabel.run import answer, crop_to_box


def prompts(box: Box, size: ImageSize) -> dict[str, Prompt]:
    """The alternatives, by name."""
    chosen = box_prompt(box, size)
    centre, *negative = chosen.clicks
    drag = replace(centre, radius=min(box[2] - box[0], box[3] - box[1]) / 2.0)
    return {
        "click": Prompt((centre,)),
        "drag": Prompt((drag,)),
        "click, four negative": chosen,
        "drag, four negative": Prompt((drag, *negative)),
        "four negative, click": Prompt((*negative, centre)),
    }


def main(data: str, limit: str) -> None:
    segmenter = load()
    ious: dict[str, list[float]] = defaultdict(list)
    for sample in load_samples(data, int(limit)):
        target, ignore = sample.target(), sample.ignore()
        ys, xs = np.nonzero(target)
        box = float(xs.min()), float(ys.min()), float(xs.max() + 1), float(ys.max() + 1)
        filled = np.zeros_like(target)
        filled[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1] = True
        ious["box alone"].append(metrics.iou(filled, target, ignore))
        segmenter.set_image(sample.image_path)
        for name, prompt in prompts(box, ImageSize(*target.shape)).items():
            mask = answer(segmenter.new_object(), prompt)
            ious[name].append(metrics.iou(mask.array, target, ignore))
            ious[f"{name}, cropped to the box"].append(metrics.iou(crop_to_box(mask, box)[0], target, ignore))
    for name, values in ious.items():
        print(f"{name:40} mean IoU {math.fsum(values) / len(values):.3f} over {len(values)} objects")


if __name__ == "__main__":
    main(*sys.argv[1:])
