"""How far the radii that DCT-Net's Auto-Drag-Head predicts are from those that a person would drag."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from saywhere.core.images import read_image
from saywhere.core.prompt import Prompt
from saywhere.data.datasets import Sample
from saywhere.errors import SaywhereError
from saywhere.evaluation.evaluate import Interaction
from saywhere.interactive.encoded_image import EncodedImage
from saywhere.models.dctnet import DCTNet
from saywhere.runtime.torch import TorchRuntime

Records = Mapping[str, Sequence[Interaction]]


def radius_errors(runtime: Any, size: int, samples: Sequence[Sample], records: Records) -> dict[str, dict[str, float]]:
    """Errors of predicted radii by object.

    Args:
        runtime: DCT-Net with an Auto-Drag-Head, run by torch.
        size: longer side at which images are encoded, in pixels.
        samples: the objects.
        records: the drags of the robot user on them; each is predicted from the drags before it.

    Returns:
        By figure and object: ``radius_error1``, the absolute error of the first drag over its true radius;
        ``radius_log_error1``, the absolute difference of the logarithms to base 2; ``radius_pixels1``, the absolute
        error in pixels of the encoded image; the same with ``_later`` for the mean over further drags; and
        ``constant_log_error1``, ``constant_log_error_later``: those of the one radius that is best for all of them.

    Raises:
        SaywhereError: the network has no Auto-Drag-Head.
    """
    if not isinstance(runtime, TorchRuntime) or not isinstance(runtime.model, DCTNet) or not runtime.model.auto_drag:
        raise SaywhereError(f"radius: model '{runtime.name}' has no Auto-Drag-Head; use dctnet with Spatial-DCT")
    pairs: dict[str, list[tuple[float, float]]] = {}
    for sample in samples:
        encoded = EncodedImage(runtime, read_image(sample.image_path), size)
        features = encoded.features(encoded.full_crop)
        clicks = tuple(i.click for i in records.get(sample.name, ()) if i.click is not None)
        clicks = encoded.full_crop.to_crop(Prompt(clicks)).clicks
        for number, click in enumerate(clicks):
            prompt = Prompt((*clicks[:number], replace(click, radius=None)))
            with torch.inference_mode():
                (with_radii,) = runtime.model.auto_drag.predict_radii(features.levels["drag"][0], [prompt])
            predicted, true = with_radii.clicks[-1].radius, click.radius
            assert predicted is not None
            assert true is not None
            pairs.setdefault(sample.name, []).append((predicted, max(true, 1.0)))
    return errors_of(pairs)


def errors_of(pairs: Mapping[str, Sequence[tuple[float, float]]]) -> dict[str, dict[str, float]]:
    """The errors of :func:`radius_errors` from the predicted and the true radius of each drag, by object.

    Example:
        >>> errors_of({"cup": [(30.0, 20.0), (8.0, 16.0)]})["radius_error1"]
        {'cup': 0.5}
    """
    parts = {"1": {name: drags[:1] for name, drags in pairs.items()},
             "_later": {name: drags[1:] for name, drags in pairs.items()}}  # fmt: skip
    result: dict[str, dict[str, float]] = {}
    for ending, drags_of in parts.items():
        logs = sorted(math.log2(true) for drags in drags_of.values() for _, true in drags)
        middle = logs[len(logs) // 2] if logs else 0.0  # the median has the smallest mean absolute difference
        for figure in ("radius_error", "radius_log_error", "radius_pixels", "constant_log_error"):
            result[figure + ending] = {
                name: math.fsum(_error(figure, *drag, middle) for drag in drags) / len(drags)
                for name, drags in drags_of.items()
                if drags
            }
    return result


def _error(figure: str, predicted: float, true: float, middle: float) -> float:
    """One error of :func:`radius_errors`; ``middle`` is the logarithm of the one radius that is predicted for all."""
    if figure == "radius_error":
        return abs(predicted - true) / true
    if figure == "radius_pixels":
        return abs(predicted - true)
    return abs((math.log2(predicted) if figure == "radius_log_error" else middle) - math.log2(true))
