"""How good each candidate mask of the first interaction is, whichever the method chooses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from saywhere.core import metrics
from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.prompt import Click, Prompt
from saywhere.core.settings import Settings
from saywhere.data.datasets import Sample
from saywhere.evaluation.evaluate import GroundTruth, Interaction, read_sample_image
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.base import Runtime


class FixedCandidate(Runtime):
    """A runtime whose answer is always the candidate of one number, as if a person chose it.

    Args:
        runtime: gives the candidates.

    Attributes:
        index: the candidate's number; it may be changed at any time.
    """

    def __init__(self, runtime: Runtime) -> None:
        self.runtime, self.index = runtime, 0
        self.name, self.digest, self.metadata = runtime.name, runtime.digest, runtime.metadata
        # The purification layer is not passed on.
        self.capabilities = replace(runtime.capabilities, candidates=1, purification_strides=())

    def encode(self, image: ImageArray) -> Any:
        return self.runtime.encode(image)

    def decode(self, features: Any, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        return self.runtime.decode_candidates(features, prompt, previous)[0][self.index]

    def relevance(self, features: Any, phrase: str) -> FloatArray:
        return self.runtime.relevance(features, phrase)


def candidate_ious(runtime: Runtime, settings: Settings, sample: Sample, click: Click) -> tuple[float, ...]:
    """The IoU of each candidate after one click, each with the crops that its own masks lead to.

    Args:
        runtime: with several candidates.
        settings: of the Segmenter.
        sample: the object.
        click: the first one.

    Raises:
        SaywhereError: the image cannot be read.
    """
    truth = GroundTruth.of(sample)
    fixed = FixedCandidate(runtime)
    segmenter = Segmenter(fixed, settings).set_image(read_sample_image(sample, truth.target))
    ious = []
    for fixed.index in range(runtime.capabilities.candidates):
        segmenter.reset()
        ious.append(metrics.iou(segmenter.add(click).array, truth.target, truth.ignore))
    return tuple(ious)


def with_candidate_ious(
    interactions: Iterator[Interaction], runtime: Runtime, settings: Settings, sample: Sample
) -> Iterator[Interaction]:
    """Interactions with one object, the first with the IoU of every candidate if the runtime gives several.

    What this takes is not in the interactions' times.

    Args:
        interactions: the interactions.
        runtime: what they were made with; its times must not be measured.
        settings: of the Segmenter.
        sample: the object.
    """
    for interaction in interactions:
        if runtime.capabilities.candidates > 1 and interaction.k == 1 and interaction.click is not None:
            ious = candidate_ious(runtime, settings, sample, interaction.click)
            yield replace(interaction, candidate_ious=ious)
        else:
            yield interaction


def candidate_figures(records: Mapping[str, Sequence[Interaction]]) -> dict[str, Any]:
    """Figures of the candidates of first interactions.

    Args:
        records: interactions by object.

    Returns:
        ``best_candidate_miou1``, the mean IoU if the best candidate were always chosen, and ``candidate_miou1``, that
        of each candidate; empty where there are none.
    """
    first = [interactions[0].candidate_ious for interactions in records.values() if interactions]
    ious = np.array([of_object for of_object in first if of_object is not None])
    if not len(ious):
        return {}
    return {"best_candidate_miou1": float(ious.max(1).mean()), "candidate_miou1": ious.mean(0).tolist()}
