"""A few figures of a network in training."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from saywhere.core.metrics import MOST_INTERACTIONS
from saywhere.data.datasets import load_dataset
from saywhere.evaluation.benchmark import spread
from saywhere.evaluation.evaluate import work_through
from saywhere.evaluation.summary import figures
from saywhere.interactive.segmenter import Segmenter
from saywhere.models.base import InteractiveModel
from saywhere.runtime.timed import TimedRuntime
from saywhere.runtime.torch import TorchRuntime

SHOWN = ("noc85", "noc90", "miou1", "miou3", "miou5")


def validator(data: str, limit: int) -> Callable[[nn.Module], dict[str, float]]:
    """A function from a network to a few figures on ``limit`` objects of a data set, spread evenly."""
    samples = load_dataset(data)
    samples = [samples[i] for i in spread(len(samples), limit)]

    def validate(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, InteractiveModel)
        timed = TimedRuntime(TorchRuntime(model, "training"))
        records = {s.name: list(work_through(Segmenter(timed), timed, s, MOST_INTERACTIONS)) for s in samples}
        measured = figures(records, MOST_INTERACTIONS)
        return {name: float(measured[name]) for name in SHOWN}

    return validate
