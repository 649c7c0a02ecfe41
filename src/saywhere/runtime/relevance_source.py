"""Where a Text+Click network's relevance maps come from: a CLIP or another network, by name."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from saywhere.errors import SaywhereError
from saywhere.models.base import InteractiveModel
from saywhere.models.checkpoint import load_model
from saywhere.models.layers.maskclip import load_maskclip
from saywhere.models.textclick import FORMS, RelevanceSource, TextClick
from saywhere.runtime.fuse import fuse_batch_norms

Model = TypeVar("Model", bound=InteractiveModel)


def connect_relevance_source(model: Model, find_weights: Callable[[str], Path]) -> Model:
    """Let a network load its relevance source at the first phrase; networks without one stay as they are.

    Args:
        model: any network.
        find_weights: from a name to a weights file, as :func:`saywhere.runtime.weights.find_weights`.

    Returns:
        The same network.
    """
    if isinstance(model, TextClick) and model.relevance_channel is not None:
        model.relevance_channel.load = partial(load_relevance_source, find_weights)
    return model


def load_relevance_source(find_weights: Callable[[str], Path], clip: str | None, weights: str) -> RelevanceSource:
    """Load a relevance source.

    Args:
        find_weights: from a name to a weights file.
        clip: the name of a CLIP model of open_clip; None for a Saywhere network.
        weights: the weights' name, file or hub id.

    Raises:
        SaywhereError: the weights are not available, or their network does not read phrases.
    """
    if clip is not None:
        return load_maskclip(clip, weights)
    model = load_model(find_weights(weights)).model
    if not model.phrases:
        raise SaywhereError(f"relevance weights '{weights}': this network does not read phrases; {FORMS}")
    return fuse_batch_norms(model).requires_grad_(False)
