"""The robot user works through a data set with a Segmenter; what comes out are figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from saywhere import metrics, robot
from saywhere.datasets import Sample, load_dataset
from saywhere.errors import SaywhereError
from saywhere.images import Photo, read_image
from saywhere.prompt import Click, Prompt
from saywhere.segmenter import Runner, Segmenter, Settings


class TimedRunner:
    """A runner whose encodings and decodings are timed, in milliseconds."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner
        self.name, self.digest, self.phrases = runner.name, runner.digest, runner.phrases
        self.encodings: list[float] = []
        self.decodings: list[float] = []

    def encode(self, image: Photo) -> Any:
        started = time.perf_counter()
        features = self.runner.encode(image)
        self.encodings.append(1000.0 * (time.perf_counter() - started))
        return features

    def decode(self, features: Any, prompt: Prompt, previous: Any) -> Any:
        started = time.perf_counter()
        logits = self.runner.decode(features, prompt, previous)
        self.decodings.append(1000.0 * (time.perf_counter() - started))
        return logits


@dataclass
class Result:
    """IoU after each interaction, for each object by name; times in milliseconds."""

    ious: dict[str, list[float]] = field(default_factory=dict)
    labels: dict[str, str | None] = field(default_factory=dict)
    first_mask: list[float] = field(default_factory=list)
    clicks: list[float] = field(default_factory=list)
    encodings: list[float] = field(default_factory=list)
    decodings: list[float] = field(default_factory=list)


def run(
    runner: Runner,
    samples: Iterable[Sample],
    settings: Settings,
    most: int = metrics.MOST_INTERACTIONS,
    drag: bool = False,
    progress: Callable[[], None] = lambda: None,
) -> Result:
    """Every object, ``most`` interactions or until nothing is wrong. Reading and the robot are not timed."""
    timed = TimedRunner(runner)
    segmenter = Segmenter(timed, settings)
    result = Result(encodings=timed.encodings, decodings=timed.decodings)
    for sample in samples:
        target, ignore = sample.target(), sample.ignore()
        photo = read_image(sample.photo)
        if photo.shape[:2] != target.shape:
            raise SaywhereError(
                f"object '{sample.name}': its mask is {target.shape[1]}x{target.shape[0]}, "
                f"the photograph {sample.photo} is {photo.shape[1]}x{photo.shape[0]}"
            )
        ious: list[float] = []
        started = time.perf_counter()
        segmenter.set_image(photo)
        encoding = 1000.0 * (time.perf_counter() - started)
        click: Click | None = robot.first_click(target, ignore, drag)
        while click is not None and len(ious) < most:
            started = time.perf_counter()
            predicted = segmenter.add(click).array
            spent = 1000.0 * (time.perf_counter() - started)
            if ious:
                result.clicks.append(spent)
            else:
                result.first_mask.append(encoding + spent)
            ious.append(metrics.iou(predicted, target, ignore))
            click = robot.next_click(target, predicted, ignore, drag)
        result.ious[sample.name] = ious
        result.labels[sample.name] = sample.label
        progress()
    return result


def figures(result: Result, most: int = metrics.MOST_INTERACTIONS) -> dict[str, float | int]:
    """The numbers of a report: effort, quality and time."""
    answer: dict[str, float | int] = {"objects": len(result.ious)}
    for percent in (80, 85, 90, 95):
        noc = metrics.NoC(percent / 100.0, most)
        for ious in result.ious.values():
            noc.update(ious)
        answer[f"noc{percent}"] = noc.compute()
        if percent in (85, 90):
            answer[f"nof{percent}"] = noc.failures
    for k in (1, 2, 3, 5, 10):
        mean = metrics.MeanIoU(k)
        for ious in result.ious.values():
            mean.update(ious)
        answer[f"miou{k}"] = mean.compute()
    times = {
        "first_mask": result.first_mask,
        "click": result.clicks,
        "encode": result.encodings,
        "decode": result.decodings,
    }
    for name, values in times.items():
        for percent in (50, 95):
            # A run whose every object is done after one interaction has no further click to time.
            answer[f"{name}_ms_p{percent}"] = float(np.percentile(values, percent)) if values else 0.0
    return answer


def validator(data: str, limit: int) -> Callable[[Any], dict[str, float]]:
    """A function from a network to a few figures on ``limit`` objects of a data set, spread evenly."""
    from saywhere.models.runner import TorchRunner

    samples = load_dataset(data)
    samples = samples[:: max(len(samples) // limit, 1)][:limit]

    def validate(model: Any) -> dict[str, float]:
        measured = figures(run(TorchRunner(model, "training"), samples, Settings()))
        return {name: measured[name] for name in ("noc85", "noc90", "miou1", "miou3", "miou5")}

    return validate
