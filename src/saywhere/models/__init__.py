"""The networks by name. To add one, write it in a file of this package and register it in :data:`MODELS`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from saywhere.core.deprecation import rename_keys
from saywhere.errors import SaywhereError
from saywhere.models.base import Features, InteractiveModel
from saywhere.models.dctnet import DCTNet
from saywhere.models.multistage import MultiStage
from saywhere.models.phraseclick import PhraseClick
from saywhere.models.saywhere import Saywhere
from saywhere.models.saywhere_ablation import SaywhereAblation
from saywhere.models.sequential import Sequential
from saywhere.models.textclick import TextClick

MODELS: Final[Mapping[str, Callable[..., InteractiveModel]]] = {
    "dctnet": DCTNet,
    "multistage": MultiStage,
    "phraseclick": PhraseClick,
    "saywhere": Saywhere,
    "saywhere-ablation": SaywhereAblation,
    "sequential": Sequential,
    "textclick": TextClick,
}
"""The networks by the name that recipes and weights files use."""

RENAMED_OPTIONS: Final = {"saliency": "relevance"}

__all__ = ["MODELS", "Features", "InteractiveModel", "build"]


def build(name: str, options: Mapping[str, Any]) -> InteractiveModel:
    """Build a network with random weights.

    Args:
        name: a key of :data:`MODELS`.
        options: keyword arguments of the network's class.

    Raises:
        SaywhereError: the name or an option is unknown.
    """
    if name not in MODELS:
        raise SaywhereError(f"model '{name}': not known; choose one of {', '.join(MODELS)}")
    options = rename_keys(options, RENAMED_OPTIONS, f"{name}: option ")
    try:
        return MODELS[name](**options)
    except TypeError as error:
        raise SaywhereError(f"model '{name}' with options {dict(options)}: {error}") from error
