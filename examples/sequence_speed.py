"""How fast a sequence is: a proposal, a round of learning on one core, and clicks while it learns in the background.

``python examples/sequence_speed.py`` on a quiet machine with two cores; photographs are those of scikit-image, 640x480.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import cycle
from typing import cast

import cv2
import numpy as np
import torch
from skimage import data

import saywhere
from saywhere.interactive.sequence import SequenceOptions
from saywhere.interactive.sequence.memory import lesson
from saywhere.interactive.sequence.purification import Learner
from saywhere.runtime.base import PurifyingRuntime

COUNT = 60


def timed(act: Callable[[], object]) -> float:
    started = time.perf_counter()
    act()
    return 1000.0 * (time.perf_counter() - started)


def tell(name: str, times: list[float]) -> float:
    median, late = np.percentile(times, [50, 95])
    print(f"{name:44} {median:7.1f} ms median, {late:7.1f} ms p95, {len(times)} times", flush=True)
    return float(median)


def photographs() -> list[np.ndarray]:
    """Different enough that none is known before."""
    rng, made = np.random.default_rng(0), []
    for _, photo in zip(range(COUNT), cycle((data.chelsea(), data.astronaut(), data.coffee())), strict=False):
        turn = cv2.getRotationMatrix2D((320, 240), rng.uniform(-15, 15), 1.1)
        made.append(cv2.warpAffine(cv2.resize(photo, (640, 480)), turn, (640, 480), borderMode=cv2.BORDER_REFLECT))
    return made


def main() -> None:
    torch.set_num_threads(2)
    photos, options, middle = photographs(), SequenceOptions(), (320, 240)
    segmenter = saywhere.load(device="cpu")
    runtime, again = cast(PurifyingRuntime, segmenter.runtime), []
    with saywhere.Sequence(segmenter, "thing", None, options) as sequence:
        for photo in photos[:40]:
            sequence.propose(photo)
            again.append(timed(sequence.propose))
            segmenter.click(*middle)
            sequence.accept()
        sequence.wait()
        tell("proposal, features there, 40 clicks known", again[1:])
        bare, busy = [], []
        sequence.propose(photos[0])
        for x in range(200):
            segmenter.reset()
            segmenter.click(*middle)
            bare.append(timed(lambda x=x: segmenter.click(220 + x, 200)))
        for photo in photos[40:]:
            sequence.propose(photo)
            segmenter.click(*middle)
            for _ in range(3):  # more to learn than there is time for
                sequence.accept()
            for x in range(10):
                segmenter.reset()
                segmenter.click(*middle)
                busy.append(timed(lambda x=x: segmenter.click(220 + 20 * x, 200)))
        grown = tell("a click while it learns", busy) / tell("a click", bare) - 1.0
        print(f"a click's median grows by {100 * grown:.0f} %")
    torch.set_num_threads(1)
    learner, rounds = Learner(runtime.model, options), []
    learned, lessons = learner.start(), []
    for number, photo in enumerate(photos):
        mask = segmenter.set_image(photo).click(*middle).array
        lessons.append(lesson(number, number % options.held_out == options.held_out - 1, photo, mask, options.side))
        lessons = lessons[-options.bank - options.bank // options.held_out :]
        started = time.perf_counter()
        learned = learner.round(learned, lessons)
        rounds.append(1000.0 * (time.perf_counter() - started))
    tell("a round of learning, one thread", rounds[28:])
    print(f"the longest round, which looks at {options.bank // options.held_out} held-out masks: {max(rounds):.0f} ms")


if __name__ == "__main__":
    main()
