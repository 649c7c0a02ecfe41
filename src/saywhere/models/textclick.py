"""Text+Click (Warner et al. 2023): a click map and a map of where the phrase applies, beside the photograph."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from saywhere.core import guidance
from saywhere.core.prompt import Prompt
from saywhere.errors import SaywhereError
from saywhere.models.base import Features
from saywhere.models.deeplab import DeepLab

FORMS = "give 'none', 'maskclip', {clip: MODEL, weights: NAME or FILE}, or {weights: FILE} of a Saywhere network"
PREFIX = "relevance."


class Source(Protocol):
    """What tells where a phrase applies: MaskCLIP, or a Saywhere network that understands phrases."""

    def encode(self, image: Tensor) -> Features:
        """``(B, 3, H, W)`` RGB in [0, 1] to what ``relevance`` needs of it."""

    def relevance(self, features: Features, phrase: str) -> Tensor:
        """How well a phrase fits each pixel of one image, on any scale: ``(1, 1, H, W)``."""


class RelevanceChannel:
    """A source that is loaded when the first phrase is said, so that clicks alone need none."""

    def __init__(self, clip: str | None, weights: str) -> None:
        self.clip, self.weights = clip, weights
        self.loaded: Source | None = None

    def source(self, device: torch.device) -> Source:
        """Raises SaywhereError when the source's weights cannot be had."""
        if self.loaded is None:
            self.loaded = _clip(self.clip, self.weights) if self.clip else _network(self.weights)
        if isinstance(self.loaded, torch.nn.Module):
            self.loaded.to(device)
        return self.loaded


class TextClick(DeepLab):
    """A DeepLabv3+ of five channels: RGB, one click map and one relevance map, each in [-1, 1] for its own image.

    ``relevance`` says where the second map comes from: "maskclip" is the RN50 of OpenAI with which the authors worked,
    ``{clip: MODEL, weights: NAME or FILE}`` another CLIP (see :mod:`saywhere.models.layers.maskclip`),
    ``{weights: FILE}`` a Saywhere network that understands phrases (also a shipped one's name or a hub id), and
    "none" the paper's baseline: the same network without that channel. No source learns, and none is kept with the
    weights, which remember only which it was. Without a phrase the map is 0 everywhere. The previous mask is not
    used: the paper shows none.
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        channels: int = 512,
        stride: int = 8,
        relevance: str | Mapping[str, str] = "maskclip",
    ) -> None:
        found = chosen(relevance)
        super().__init__(backbone, 1 if found is None else 2, channels, stride)
        self.source = found
        self.phrases = self.relevance_maps = found is not None

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        (image,) = features.levels["image"]
        maps = [torch.from_numpy(np.stack([click_map(p, features.size) for p in prompts]))[:, None].to(image)]
        if self.source is not None:
            maps.append(self._relevance_maps(self.source, features, [prompt.phrase for prompt in prompts]))
        fine, context = self.look(image, torch.cat(maps, 1))
        return self.finish(fine, context, features.size)

    def relevance(self, features: Features, phrase: str) -> Tensor:
        """The relevance map of a phrase, ``(1, 1, H, W)``, from 0 where it fits least to 1 where it fits best."""
        if self.source is None:
            return super().relevance(features, phrase)
        return 0.5 + 0.5 * self._relevance_maps(self.source, features, [phrase])

    def _relevance_maps(self, channel: RelevanceChannel, features: Features, phrases: Sequence[str | None]) -> Tensor:
        """The relevance maps of a batch's phrases in [-1, 1], ``(B, 1, H, W)``; 0 where nothing was said."""
        (image,) = features.levels["image"]
        maps = image.new_zeros(len(phrases), 1, *features.size)
        if any(phrases):
            source = channel.source(image.device)
            with torch.no_grad():
                if not any(name.startswith(PREFIX) for name in features.cache):
                    seen = source.encode(image)
                    features.cache.update({PREFIX + name: tensors for name, tensors in seen.levels.items()})
                for row, phrase in enumerate(phrases):
                    if phrase:
                        maps[row] = scaled(source.relevance(_one(features, row), phrase)[0])
        return maps


def chosen(relevance: str | Mapping[str, str]) -> RelevanceChannel | None:
    """The source that an option names, not loaded yet; SaywhereError when it is none of the forms."""
    if relevance == "none":
        return None
    if relevance == "maskclip":
        return RelevanceChannel("RN50", "openai")
    if not isinstance(relevance, Mapping) or "weights" not in relevance or set(relevance) - {"clip", "weights"}:
        raise SaywhereError(f"relevance {relevance!r}: {FORMS}")
    return RelevanceChannel(relevance.get("clip"), relevance["weights"])


def click_map(prompt: Prompt, shape: tuple[int, int]) -> guidance.Map:
    """Distance to the nearest positive click over the image's largest, in [-1, 1]: ``(H, W)``; 1 without a click.

    The paper has one map and one positive click and does not say how its few negative ones are drawn. Here a negative
    click makes its surroundings as far away as can be, fading out towards the nearest positive click.
    """
    positive = [click for click in prompt.clicks if click.positive]
    if not positive:
        return np.ones(shape, np.float32)
    far = guidance.euclidean(positive, shape, limit=math.inf)
    least, most = float(far.min()), float(far.max())
    far = (far - least) / max(most - least, 1e-6)
    for click in prompt.clicks:
        if not click.positive:
            reach = min(math.hypot(click.x - p.x, click.y - p.y) for p in positive)
            near = guidance.euclidean([click], shape, limit=math.inf)
            far = np.maximum(far, 1.0 - near / max(reach, 1e-6))
    return np.asarray(far * 2.0 - 1.0, np.float32)


def scaled(relevance: Tensor) -> Tensor:
    """A map ``(..., H, W)`` stretched to [-1, 1]; 0 where it is the same everywhere."""
    least, most = relevance.amin((-2, -1), keepdim=True), relevance.amax((-2, -1), keepdim=True)
    span = most - least
    return torch.where(span > 1e-6, (relevance - least) / span.clamp_min(1e-6) * 2.0 - 1.0, torch.zeros_like(relevance))


def _one(features: Features, row: int) -> Features:
    """The source's features of one image of a batch."""
    levels = {
        name.removeprefix(PREFIX): tuple(tensor[row : row + 1] for tensor in tensors)
        for name, tensors in features.cache.items()
        if name.startswith(PREFIX)
    }
    return Features(features.size, levels)


def _clip(name: str, weights: str) -> Source:
    from saywhere.models.layers.maskclip import load_maskclip

    return load_maskclip(name, weights)


def _network(weights: str) -> Source:
    # Only here, where weights are found by name, does a network look at another one's file.
    from saywhere.models.checkpoint import load_model
    from saywhere.runtime.fuse import fuse_batch_norms
    from saywhere.runtime.weights import find_weights

    path = find_weights(weights)
    model = load_model(path).model
    if not model.phrases:
        raise SaywhereError(f"relevance weights '{weights}': this network understands no phrases; {FORMS}")
    return fuse_batch_norms(model).requires_grad_(False)
