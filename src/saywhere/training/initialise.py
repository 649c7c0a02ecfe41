"""The network of a recipe with the weights that it starts from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from saywhere.data.datasets import locate
from saywhere.errors import SaywhereError
from saywhere.models import build
from saywhere.models.base import InteractiveModel
from saywhere.models.checkpoint import load_state, read_tensors
from saywhere.runtime.relevance_source import connect_relevance_source
from saywhere.runtime.weights import find_weights, shipped
from saywhere.storage.tensors import rename_prefixes
from saywhere.training.pretrained import find_pretrained, inflate, select
from saywhere.training.recipe_parts import ModelRecipe

CANDIDATE_NOISE = 0.05  # standard deviation over that of the weights


def initialise(recipe: ModelRecipe, start: Path | None = None) -> InteractiveModel:
    """Build a recipe's network, load the weights it starts from, and freeze what is not trained.

    Args:
        recipe: the recipe's section ``model``.
        start: the weights of the stage before, instead of those that the recipe names. Parameters that they lack are
            initialised anew.

    Raises:
        SaywhereError: a file is missing, damaged or of another network.
    """
    model = connect_relevance_source(build(recipe.name, recipe.options), find_weights)
    if start is not None:
        state = rename_prefixes(read_tensors(start)[0], model.renamed_parameters)
        load_state(model, expand(state, model.state_dict(), lacking=True, repeated=model.repeated_parameters), start)
    elif recipe.weights:
        path = find_start(recipe.weights)
        state = rename_prefixes(read_tensors(path)[0], model.renamed_parameters)
        new = new_names(recipe.new, model)
        load_state(model, expand(state, model.state_dict(), new, repeated=model.repeated_parameters), path)
    elif recipe.pretrained:
        path = find_pretrained(recipe.pretrained)
        encoder: nn.Module = model.encoder  # type: ignore[assignment]
        load_state(encoder, select(read_tensors(path)[0], encoder.state_dict()), path)
    if recipe.pretrained_tokens and start is None:
        path = find_pretrained(recipe.pretrained_tokens)
        tokens: Any = getattr(model, "token_encoder", None)
        if tokens is None:
            raise SaywhereError(f"recipe: model.pretrained_tokens '{path}', but the network has no option tokens")
        load_state(tokens, tokens.load_timm(read_tensors(path)[0]), path)
    freeze, train_only = new_names(recipe.freeze, model), new_names(recipe.train_only, model)
    for name, parameter in model.named_parameters():
        if name.startswith(freeze) or (train_only and not name.startswith(train_only)):
            parameter.requires_grad_(False)
    return model


def find_start(weights: str) -> Path:
    """The file of the recipe's ``model.weights``: those that ship, by name, or a file.

    Raises:
        SaywhereError: it is neither.
    """
    ours = shipped()
    return ours[weights] if weights in ours else locate(weights)


def new_names(prefixes: Sequence[str], model: InteractiveModel) -> tuple[str, ...]:
    """Prefixes of parameters by today's names."""
    return tuple(model.renamed_parameters.get(prefix, prefix) for prefix in prefixes)


def expand(
    state: Mapping[str, Tensor],
    built: Mapping[str, Tensor],
    new: tuple[str, ...] = (),
    lacking: bool = False,
    repeated: tuple[str, ...] = (),
) -> dict[str, Tensor]:
    """Weights for a network that has more parameters than the one they come from.

    New parameters stay as they were initialised. Where a convolution has more input channels than before, the further
    ones are zero, so that the network's answers are at first the same. Where the last layer has output channels for
    more candidate masks than before, each candidate begins as the mask of before with a little noise, and the mean of
    their logits is that mask.

    Args:
        state: the weights.
        built: the state of the network as it was initialised.
        new: prefixes of parameters that are initialised anew.
        lacking: whether every parameter that ``state`` lacks is initialised anew.
        repeated: prefixes of the last layer's parameters.
    """
    expanded = {name: tensor for name, tensor in state.items() if not (new and name.startswith(new))}
    for name, initial in built.items():
        if (new and name.startswith(new)) or (lacking and name not in state):
            expanded[name] = initial
        elif name in expanded:
            expanded[name] = inflate(expanded[name], torch.zeros_like(initial))
            if repeated and name.startswith(repeated):
                expanded[name] = _repeat(expanded[name], len(initial))
    return expanded


def _repeat(tensor: Tensor, channels: int) -> Tensor:
    """The parameters of one mask for several candidates, with noise whose mean over the candidates is 0."""
    count, rest = divmod(channels, len(tensor))
    if count < 2 or rest:
        return tensor
    one = tensor.float()
    noise = (
        CANDIDATE_NOISE * one.std() * torch.randn(count, *one.shape) if one.ndim > 1 else torch.zeros(count, len(one))
    )
    return (one + noise - noise.mean(0)).flatten(0, 1)
