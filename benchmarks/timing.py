"""Latency of the first mask and of further clicks on 640x480 images, with two threads, in one process.

A cat that fills its image needs one crop; a coin among others is small, so its first mask takes two. The images come
with scikit-image.

    python benchmarks/timing.py
    python benchmarks/timing.py --weights runs/before.safetensors --size 384
    python benchmarks/timing.py --backend torch
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict

import cv2
import numpy as np
from skimage import data

import saywhere
from saywhere.core.processes import peak_memory
from saywhere.runtime.threads import set_threads
from saywhere.runtime.timed import TimedRuntime, milliseconds
from saywhere.runtime.weights import load_runtime

REPEATS = 40
WARM_UP = 3  # repeats that fill caches and the allocator
# On the cat, and around it.
CLICKS = [
    (326, 224, True), (260, 330, True), (40, 60, False), (420, 120, True), (600, 60, False), (380, 200, True),
    (30, 250, False),
]  # fmt: skip
COIN = (75, 87)
Times = dict[str, list[float]]


def resized(image: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.resize(image, (640, 480), interpolation=cv2.INTER_AREA), np.uint8)


def time_clicks(segmenter: saywhere.Segmenter, runtime: TimedRuntime, times: Times) -> None:
    """A first mask of each image, and further clicks on the cat."""
    coins = resized(np.stack([data.coins()] * 3, -1))
    started = time.perf_counter()
    segmenter.set_image(coins).click(*COIN)
    times["first mask, small object"].append(milliseconds(started))
    cat = resized(data.chelsea())
    started = time.perf_counter()
    segmenter.set_image(cat)
    for number, (x, y, positive) in enumerate(CLICKS):
        runtime.take()
        segmenter.click(x, y, positive)
        ms = milliseconds(started)
        encode_ms, _ = runtime.take()
        times[kind_of_click(number + 1, encode_ms > 0, segmenter.settings.previous_mask_from)].append(ms)
        started = time.perf_counter()


def kind_of_click(number: int, encodes: bool, later_from: int) -> str:
    """What a click is printed as; ``later_from`` is the first one that is decoded at ``later_zoom_size``."""
    if number == 1:
        return "first mask"
    if number == later_from:
        return f"click {number}, crop resized"
    if encodes:
        return "click that moves the crop"
    return f"{'further' if number < later_from else 'later'} click, same crop"


def time_phrases(segmenter: saywhere.Segmenter, runtime: TimedRuntime, times: Times) -> None:
    """What a phrase adds to a decoding, and a relevance map."""
    segmenter.say("cat")
    segmenter.undo()
    started = time.perf_counter()
    segmenter.relevance_map("dog")  # another phrase: the map of the last one is cached
    times["relevance map of a phrase"].append(milliseconds(started))
    prompt = segmenter.prompt.with_phrase("cat")
    features = segmenter.encoded.features(segmenter.encoded.full_crop)
    started = time.perf_counter()
    runtime.decode(features, prompt.with_phrase(None), None)
    without = milliseconds(started)
    started = time.perf_counter()
    runtime.decode(features, prompt, None)
    times["what a phrase adds"].append(milliseconds(started) - without)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", help="file, hub id or shipped name")
    parser.add_argument("--size", type=int, help="longer side of both crops")
    parser.add_argument("--backend", help="onnxruntime or torch, where the weights have both")
    options = parser.parse_args()
    set_threads(2)
    backend = {"backend": options.backend} if options.backend else {}
    runtime = TimedRuntime(load_runtime(options.weights, device="cpu", **backend))
    print(f"computed by {runtime.capabilities.backend}")
    sizes = {"size": options.size, "zoom_size": options.size} if options.size else {}
    times: Times = defaultdict(list)
    for _ in range(REPEATS + WARM_UP):
        segmenter = saywhere.Segmenter(runtime, saywhere.Settings(**sizes))
        time_clicks(segmenter, runtime, times)
        if runtime.capabilities.relevance:
            time_phrases(segmenter, runtime, times)
    for name, values in times.items():
        kept = values[len(values) * WARM_UP // (REPEATS + WARM_UP) :]
        median, late = np.percentile(kept, [50, 95])
        print(f"{name:26} {median:5.1f} ms median, {late:5.1f} ms p95, {len(kept)} times")
    print(f"{'peak memory':26} {peak_memory() / 1e9:5.2f} GB")


if __name__ == "__main__":
    main()
