"""Validation of a network during training."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from saywhere.core.metrics import MAX_INTERACTIONS
from saywhere.core.settings import Settings
from saywhere.evaluation.benchmark import load_samples
from saywhere.evaluation.candidates import candidate_figures, with_candidate_ious
from saywhere.evaluation.evaluate import segment_object
from saywhere.evaluation.robot_user import RobotUser
from saywhere.evaluation.summary import figures
from saywhere.interactive.segmenter import Segmenter
from saywhere.models.base import InteractiveModel
from saywhere.runtime.timed import TimedRuntime
from saywhere.runtime.torch import TorchRuntime

SHOWN = ("noc85", "noc90", "miou1", "miou3", "miou5")
OF_CANDIDATES = ("best_candidate_miou1", "best_candidate_chosen")


def validator(data: str, limit: int) -> Callable[[nn.Module], dict[str, float]]:
    """A function that measures a network.

    Args:
        data: a known data set, or a COCO JSON file.
        limit: measure only this many objects, evenly spread.

    Returns:
        A function from a network to a few figures, by name; with several candidate masks also those of the best.

    Raises:
        SaywhereError: there is no such data set.
    """
    samples = load_samples(data, limit)

    def validate(model: nn.Module) -> dict[str, float]:
        assert isinstance(model, InteractiveModel)
        timed = TimedRuntime(TorchRuntime(model, "training"))
        user = RobotUser(max_clicks=model.max_clicks, negative_clicks=model.negative_clicks)
        records = {}
        for sample in samples:
            interactions = segment_object(user, Segmenter(timed), timed, sample)
            records[sample.name] = list(with_candidate_ious(interactions, timed.runtime, Settings(), sample))
        measured = figures(records, MAX_INTERACTIONS) | candidate_figures(records)
        return {name: float(measured[name]) for name in (*SHOWN, *OF_CANDIDATES) if name in measured}

    return validate
