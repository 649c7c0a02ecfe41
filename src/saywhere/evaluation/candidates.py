"""How good each candidate mask of the first interaction is, whichever the method chooses."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from saywhere.core import metrics
from saywhere.core.arrays import FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import Box
from saywhere.core.prompt import Click, Prompt
from saywhere.core.settings import Settings
from saywhere.data.datasets import Sample
from saywhere.evaluation.evaluate import Interaction, read_sample_image
from saywhere.evaluation.robot_user import GroundTruth, answer, mask_array
from saywhere.interactive.segmenter import Segmenter
from saywhere.runtime.base import Runtime

TIE = 1e-9  # candidates whose IoU differ by less are equally good


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

    def tokens(self, image: ImageArray) -> FloatArray:
        return self.runtime.tokens(image)

    def encode_crop(self, image: ImageArray, crop: Crop, tokens: FloatArray) -> Any:
        return self.runtime.encode_crop(image, crop, tokens)

    def decode(self, features: Any, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        return self.runtime.decode_candidates(features, prompt, previous)[0][self.index]

    def relevance(self, features: Any, phrase: str) -> FloatArray:
        return self.runtime.relevance(features, phrase)


def candidate_ious(runtime: Runtime, settings: Settings, sample: Sample, action: Click | Box) -> tuple[float, ...]:
    """The IoU of each candidate after one click or box, each with the crops that its own masks lead to.

    Args:
        runtime: with several candidates.
        settings: of the Segmenter.
        sample: the object.
        action: the first one.

    Raises:
        SaywhereError: the image cannot be read.
    """
    truth = GroundTruth.of(sample)
    fixed = FixedCandidate(runtime)
    segmenter = Segmenter(fixed, settings).set_image(read_sample_image(sample, truth.target))
    ious = []
    for fixed.index in range(runtime.capabilities.candidates):
        segmenter.reset()
        ious.append(truth.iou(mask_array(answer(segmenter, action, None), truth)))
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
        action = interaction.click or interaction.box
        if runtime.capabilities.candidates > 1 and interaction.k == 1 and action is not None:
            yield replace(interaction, candidate_ious=candidate_ious(runtime, settings, sample, action))
        else:
            yield interaction


def candidate_figures(records: Mapping[str, Sequence[Interaction]]) -> dict[str, Any]:
    """Figures of the candidates of first interactions; the mean IoU of the one that is chosen is ``miou1``.

    Args:
        records: interactions by object.

    Returns:
        ``best_candidate_miou1``, the mean IoU if the best candidate were always chosen; ``best_candidate_chosen``, how
        often it is, as a share of objects; ``candidate_miou1``, the mean IoU of each of the network's outputs; each
        with its 95 % bootstrap interval over objects. Empty where there are no candidates.
    """
    first = [past[0] for past in records.values() if past and past[0].candidate_ious is not None]
    if not first:
        return {}
    ious = np.array([i.candidate_ious for i in first])
    best = ious.max(1)
    result = _mean_with_interval("best_candidate_miou1", best)
    chosen = [of_object[i.candidate] for i, of_object in zip(first, ious, strict=True) if i.candidate is not None]
    if len(chosen) == len(first):
        result |= _mean_with_interval("best_candidate_chosen", (best - chosen < TIE).astype(float))
    each = [_mean_with_interval("miou1", of_output) for of_output in ious.T]
    result["candidate_miou1"] = [figures["miou1"] for figures in each]
    result["candidate_miou1_interval"] = [figures["miou1_interval"] for figures in each]
    return result


def _mean_with_interval(name: str, values: FloatArray | NDArray[np.float64]) -> dict[str, Any]:
    return {name: float(values.mean()), f"{name}_interval": metrics.bootstrap_interval(values.tolist())}
