"""Latency in a sequence: a proposal, a round of learning on one core, and clicks while it learns in the background.

Run ``python benchmarks/sequence_speed.py`` on a quiet machine with two cores; the images are those of scikit-image, at
640x480.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from typing import cast

import cv2
import numpy as np
from skimage import data

import saywhere
from saywhere.interactive.sequence import SequenceOptions
from saywhere.interactive.sequence.memory import store_example
from saywhere.interactive.sequence.purification import PurificationLearner
from saywhere.runtime.base import PurifyingRuntime
from saywhere.runtime.threads import set_threads

COUNT = 60


def timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return 1000.0 * (time.perf_counter() - started)


def print_times(name: str, times: list[float]) -> float:
    median, late = np.percentile(times, [50, 95])
    print(f"{name:44} {median:7.1f} ms median, {late:7.1f} ms p95, {len(times)} times", flush=True)
    return float(median)


def rotated_images() -> list[np.ndarray]:
    """Images that all differ."""
    rng, images = np.random.default_rng(0), []
    for _, image in zip(range(COUNT), cycle((data.chelsea(), data.astronaut(), data.coffee())), strict=False):
        turn = cv2.getRotationMatrix2D((320, 240), rng.uniform(-15, 15), 1.1)
        images.append(cv2.warpAffine(cv2.resize(image, (640, 480)), turn, (640, 480), borderMode=cv2.BORDER_REFLECT))
    return images


def main() -> None:
    set_threads(2)
    images, options, middle = rotated_images(), SequenceOptions(), (320, 240)
    segmenter = saywhere.load(device="cpu")
    runtime, proposals = cast(PurifyingRuntime, segmenter.runtime), []
    with saywhere.Sequence(segmenter, "thing", None, options) as sequence:
        for image in images[:40]:
            sequence.propose(image)
            proposals.append(timed(sequence.propose))
            segmenter.click(*middle)
            sequence.accept()
        sequence.wait()
        print_times("proposal, image encoded, 40 clicks in the bank", proposals[1:])
        idle, busy = [], []
        sequence.propose(images[0])
        for x in range(200):
            segmenter.reset()
            segmenter.click(*middle)
            idle.append(timed(lambda x=x: segmenter.click(220 + x, 200)))
        for image in images[40:]:
            sequence.propose(image)
            segmenter.click(*middle)
            for _ in range(3):  # more to learn than there is time for
                sequence.accept()
            for x in range(10):
                segmenter.reset()
                segmenter.click(*middle)
                busy.append(timed(lambda x=x: segmenter.click(220 + 20 * x, 200)))
        slower = print_times("a click while it learns", busy) / print_times("a click", idle) - 1.0
        print(f"a click's median grows by {100 * slower:.0f} %")
    set_threads(1)
    learner, rounds = PurificationLearner(runtime, options), []
    learned, stored = learner.start(), []
    for number, image in enumerate(images):
        mask = segmenter.set_image(image).click(*middle).array
        is_validation = number % options.held_out == options.held_out - 1
        stored.append(store_example(number, is_validation, image, mask, options.side))
        stored = stored[-options.bank - options.bank // options.held_out :]
        started = time.perf_counter()
        learned = learner.round(learned, stored)
        rounds.append(1000.0 * (time.perf_counter() - started))
    print_times("a round of learning, one thread", rounds[28:])
    print(f"the longest round, which validates on {options.bank // options.held_out} masks: {max(rounds):.0f} ms")


if __name__ == "__main__":
    main()
