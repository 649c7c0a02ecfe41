"""Text+Click (Warner et al. 2023): a click map and a relevance map as further input channels."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
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
PREFIX = "relevance."  # of the names under which the source's features are cached


class RelevanceSource(Protocol):
    """Computes relevance maps: MaskCLIP, or a Saywhere network that reads phrases."""

    def encode(self, image: Tensor) -> Features:
        """Compute features from ``(B, 3, H, W)`` RGB in [0, 1]."""

    def relevance(self, features: Features, phrase: str) -> Tensor:
        """How well a phrase applies to each pixel of one image: ``(1, 1, H, W)`` on any scale."""


class RelevanceChannel:
    """A relevance source that is loaded at the first phrase, so that clicks work without it.

    Attributes:
        clip: the name of a CLIP model; None for a Saywhere network.
        weights: the name or file of its weights.
        load: loads the source. It is None until
            :func:`saywhere.runtime.relevance_source.connect_relevance_source` sets it.
        loaded: the source, once it is loaded.
    """

    def __init__(self, clip: str | None, weights: str) -> None:
        self.clip, self.weights = clip, weights
        self.load: Callable[[str | None, str], RelevanceSource] | None = None
        self.loaded: RelevanceSource | None = None

    def source(self, device: torch.device) -> RelevanceSource:
        """The source on a device.

        Raises:
            SaywhereError: nothing was set that loads it, or its weights are not available.
        """
        if self.loaded is None:
            if self.load is None:
                raise SaywhereError(
                    f"relevance weights '{self.weights}': nothing loads them; call "
                    "saywhere.runtime.relevance_source.connect_relevance_source"
                )
            self.loaded = self.load(self.clip, self.weights)
        if isinstance(self.loaded, torch.nn.Module):
            self.loaded.to(device)
        return self.loaded


class TextClick(DeepLab):
    """A DeepLabv3+ with five input channels: RGB, a click map and a relevance map, each scaled to [-1, 1] per image.

    The relevance source is not trained; weights files contain its name only. Without a phrase the relevance map is 0
    everywhere. As in the paper, the previous mask is not used.

    Args:
        backbone: a model of timm.
        channels: channels of ASPP and decoder.
        stride: the output stride of the backbone, 8 or 16.
        relevance: the source of the relevance map. "maskclip" is MaskCLIP with OpenAI's RN50, as in the paper;
            ``{clip: MODEL, weights: NAME or FILE}`` another CLIP (see :mod:`saywhere.models.layers.maskclip`);
            ``{weights: FILE}`` a Saywhere network that reads phrases (or the name of shipped weights, or a hub id); and
            "none" the paper's baseline: the same network without this channel.
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        channels: int = 512,
        stride: int = 8,
        relevance: str | Mapping[str, str] = "maskclip",
    ) -> None:
        channel = relevance_channel(relevance)
        super().__init__(backbone, 1 if channel is None else 2, channels, stride)
        self.relevance_channel = channel
        self.phrases = self.relevance_maps = channel is not None

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        (image,) = features.levels["image"]
        maps = [torch.from_numpy(np.stack([click_map(p, features.size) for p in prompts]))[:, None].to(image)]
        if self.relevance_channel is not None:
            maps.append(self._relevance_maps(self.relevance_channel, features, [prompt.phrase for prompt in prompts]))
        fine, context = self.fuse_early(image, torch.cat(maps, 1))
        return self.predict(fine, context, features.size)

    def relevance(self, features: Features, phrase: str) -> Tensor:
        """The relevance map ``(1, 1, H, W)`` of a phrase, from 0 where it applies least to 1 where it applies best."""
        if self.relevance_channel is None:
            return super().relevance(features, phrase)
        return 0.5 + 0.5 * self._relevance_maps(self.relevance_channel, features, [phrase])

    def _relevance_maps(self, channel: RelevanceChannel, features: Features, phrases: Sequence[str | None]) -> Tensor:
        """The relevance maps of a batch's phrases in [-1, 1], ``(B, 1, H, W)``; 0 without a phrase."""
        (image,) = features.levels["image"]
        maps = image.new_zeros(len(phrases), 1, *features.size)
        if any(phrases):
            source = channel.source(image.device)
            with torch.no_grad():
                if not any(name.startswith(PREFIX) for name in features.cache):
                    encoded = source.encode(image)
                    features.cache.update({PREFIX + name: tensors for name, tensors in encoded.levels.items()})
                for row, phrase in enumerate(phrases):
                    if phrase:
                        maps[row] = rescale(source.relevance(_source_features(features, row), phrase)[0])
        return maps


def relevance_channel(relevance: str | Mapping[str, str]) -> RelevanceChannel | None:
    """The channel for the option ``relevance`` of :class:`TextClick`; None without one.

    Raises:
        SaywhereError: the option has none of the allowed forms.
    """
    if relevance == "none":
        return None
    if relevance == "maskclip":
        return RelevanceChannel("RN50", "openai")
    if not isinstance(relevance, Mapping) or "weights" not in relevance or set(relevance) - {"clip", "weights"}:
        raise SaywhereError(f"relevance {relevance!r}: {FORMS}")
    return RelevanceChannel(relevance.get("clip"), relevance["weights"])


def click_map(prompt: Prompt, shape: tuple[int, int]) -> guidance.Map:
    """Distance to the nearest positive click, scaled to [-1, 1].

    The paper has one positive click and does not say how its few negative ones are drawn. Here a negative click raises
    the map to 1 at its position, and by linearly less up to the distance of the nearest positive click.

    Args:
        prompt: the clicks.
        shape: height and width of the image.

    Returns:
        ``(H, W)``; 1 everywhere without a positive click.
    """
    positive = [click for click in prompt.clicks if click.positive]
    if not positive:
        return np.ones(shape, np.float32)
    drawn = guidance.euclidean(positive, shape, limit=math.inf)
    minimum, maximum = float(drawn.min()), float(drawn.max())
    drawn = (drawn - minimum) / max(maximum - minimum, 1e-6)
    for click in prompt.clicks:
        if not click.positive:
            reach = min(math.hypot(click.x - p.x, click.y - p.y) for p in positive)
            distance = guidance.euclidean([click], shape, limit=math.inf)
            drawn = np.maximum(drawn, 1.0 - distance / max(reach, 1e-6))
    return np.asarray(drawn * 2.0 - 1.0, np.float32)


def rescale(relevance: Tensor) -> Tensor:
    """Scale each map ``(..., H, W)`` linearly to [-1, 1]; a constant map becomes 0."""
    minimum, maximum = relevance.amin((-2, -1), keepdim=True), relevance.amax((-2, -1), keepdim=True)
    span = maximum - minimum
    return torch.where(
        span > 1e-6, (relevance - minimum) / span.clamp_min(1e-6) * 2.0 - 1.0, torch.zeros_like(relevance)
    )


def _source_features(features: Features, row: int) -> Features:
    """The relevance source's features of one image of a batch."""
    levels = {
        name.removeprefix(PREFIX): tuple(tensor[row : row + 1] for tensor in tensors)
        for name, tensors in features.cache.items()
        if name.startswith(PREFIX)
    }
    return Features(features.size, levels)
