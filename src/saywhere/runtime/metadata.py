"""What weights say of their training, and what could change a run's results, recorded with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, NamedTuple

from saywhere.core.numbers import describe, whole_number
from saywhere.core.settings import ResolvedSettings, Settings
from saywhere.errors import SaywhereError
from saywhere.runtime.base import Runtime

ANY_SIZE = ("saywhere",)
"""Networks that learn several sizes and scales, so that the size of their training crops says nothing."""


class TrainingSize(NamedTuple):
    """How large the images of a training were.

    Attributes:
        size: side of the crops, in pixels; None: several sizes, or the weights do not say.
        zoom: whether some of the crops showed an object and what is near it only.
    """

    size: int | None = None
    zoom: bool = True


def training_size(metadata: Mapping[str, Any]) -> TrainingSize:
    """The size at which a network was trained and therefore answers, as the metadata of its weights have it.

    Args:
        metadata: with the keys ``size`` and ``zoom``; those of an earlier release have them in ``recipe`` alone.

    Raises:
        SaywhereError: what they say is no size.
    """
    if metadata.get("model") in (None, *ANY_SIZE):
        return TrainingSize()
    recipe = metadata.get("recipe")
    crop = recipe.get("crop") if isinstance(recipe, Mapping) else None
    crop = crop if isinstance(crop, Mapping) else {}
    size = metadata.get("size", crop.get("size"))
    crops_objects = crop.get("mode", "object") == "object" and crop.get("full_image_prob", 0.0) != 1.0
    zoom = metadata.get("zoom", crops_objects)
    if not isinstance(size, int | None) or isinstance(size, bool) or not isinstance(zoom, bool):
        raise SaywhereError(
            f"weights of network '{metadata['model']}': their metadata have size {describe(size)} and zoom "
            f"{describe(zoom)}, not a number of pixels and true or false; train or export them again"
        )
    return TrainingSize(size, zoom)


def resolve_settings(runtime: Runtime, settings: Settings) -> ResolvedSettings:
    """Settings with a value for what they leave to the network of a runtime.

    Raises:
        SaywhereError: the network cannot take the size, or its weights name none that makes sense.
    """
    trained = training_size(runtime.metadata)
    first = whole_number(runtime.metadata.get("previous_mask_from"))
    return settings.resolve(trained.size, trained.zoom, first)


def run_metadata(runtime: Runtime, settings: Settings, threads: int) -> dict[str, Any]:
    """All that could change a method's answers, down to the last digit."""
    return {
        "model": runtime.name,
        "weights": runtime.digest,
        **asdict(resolve_settings(runtime, settings)),
        "threads": threads,
        "device": runtime.capabilities.device,
        "runtime": runtime.capabilities.backend,
    }
