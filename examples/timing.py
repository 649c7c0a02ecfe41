"""How long a first mask and a further click take on 640x480 photographs, with two threads, in one process.

A cat that fills its photograph is looked at once; a coin among others is small, so its first mask takes two looks. The
photographs come with scikit-image. Other weights may be given, the size of both looks, and "torch" where it shall
compute everything:

    .venv/bin/python examples/timing.py
    .venv/bin/python examples/timing.py src/saywhere/weights/saywhere.safetensors 320 torch
    .venv/bin/python examples/timing.py runs/before.safetensors 384
"""

from __future__ import annotations

import resource
import sys
import time

import cv2
import numpy as np
import torch
from skimage import data

import saywhere
from saywhere.runtime.timed import TimedRuntime
from saywhere.runtime.weights import load_runtime

REPEATS = 40
# On the cat, and around it.
CLICKS = [(326, 224, True), (260, 330, True), (40, 60, False), (420, 120, True), (600, 60, False)]
COIN = (75, 87)


def tell(name: str, times: list[float]) -> None:
    if times:
        median, late = np.percentile(times, [50, 95])
        print(f"{name:26} {median:5.1f} ms median, {late:5.1f} ms p95, {len(times)} times")


def main(weights: str | None = None, size: str | None = None, runtime: str | None = None) -> None:
    torch.set_num_threads(2)
    photo = np.asarray(cv2.resize(data.chelsea(), (640, 480), interpolation=cv2.INTER_AREA), np.uint8)
    coins = np.asarray(cv2.resize(np.stack([data.coins()] * 3, -1), (640, 480), interpolation=cv2.INTER_AREA), np.uint8)
    network = load_runtime(weights, device="cpu")
    if runtime == "torch":
        network.model.graphs = None
    print(f"computed by {network.backend}")
    runtime = TimedRuntime(network)
    settings = saywhere.Settings() if size is None else saywhere.Settings(size=int(size), zoom_size=int(size))
    first, small, same_crop, new_crop, spoken, mapped = [], [], [], [], [], []
    for repeat in range(REPEATS + 3):
        segmenter = saywhere.Segmenter(runtime, settings)
        started = time.perf_counter()
        _ = segmenter.set_image(coins).click(*COIN).array
        if repeat >= 3:
            small.append(1000.0 * (time.perf_counter() - started))
        started = time.perf_counter()
        segmenter.set_image(photo)
        for number, (x, y, positive) in enumerate(CLICKS):
            runtime.take()
            _ = segmenter.click(x, y, positive).array
            spent = 1000.0 * (time.perf_counter() - started)
            encoded = runtime.take()[0] > 0
            if repeat >= 3:  # the first few warm caches and the allocator
                (first if number == 0 else new_crop if encoded else same_crop).append(spent)
            started = time.perf_counter()
        if runtime.phrases:
            _ = segmenter.say("cat")
            segmenter.undo()
            started = time.perf_counter()
            _ = segmenter.relevance_map("dog")  # another one: the map of the last phrase is kept
            between = time.perf_counter()
            prompt = segmenter.prompt.with_phrase("cat")
            supervised = segmenter.supervised
            features = supervised.features(supervised.whole)
            plain = time.perf_counter()
            runtime.decode(features, prompt.with_phrase(None), None)
            said = time.perf_counter()
            runtime.decode(features, prompt, None)
            if repeat >= 3:
                mapped.append(1000.0 * (between - started))
                spoken.append(1000.0 * ((time.perf_counter() - said) - (said - plain)))
    tell("first mask", first)
    tell("first mask, small object", small)
    tell("further click, same crop", same_crop)
    tell("click that moves the crop", new_crop)
    tell("what a phrase adds", spoken)
    tell("map of a phrase", mapped)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1024 if sys.platform == "linux" else 1)
    print(f"{'peak memory':26} {peak / 1e9:5.2f} GB")


if __name__ == "__main__":
    main(*sys.argv[1:])
