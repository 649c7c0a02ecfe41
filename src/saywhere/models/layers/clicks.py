"""Clicks in a network: the features under them, and their predicted radii (DCT-Net)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.core.prompt import Click, Prompt, click_arrays
from saywhere.models.backbone import pad_to_multiple

MIN_RADIUS, MAX_RADIUS = 1.0, 2000.0  # of predicted radii, in pixels


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """Copy an array to a device without waiting for pending work on it."""
    return torch.from_numpy(array).to(device, non_blocking=True)


class ClickTensors(NamedTuple):
    """:class:`saywhere.core.prompt.ClickArrays` on a device, with the same attributes."""

    points: Tensor
    labels: Tensor
    radii: Tensor

    @classmethod
    def from_prompts(cls, prompts: Sequence[Prompt], device: torch.device) -> ClickTensors:
        """The clicks of a batch of prompts."""
        return cls(*(to_device(array, device) for array in click_arrays(prompts)))


def sample_at(x: Tensor, points: Tensor, stride: int) -> Tensor:
    """Sample a feature level bilinearly.

    It is one matrix product instead of ``grid_sample``, so that the exported gradient graph can contain it.

    Args:
        x: ``(B, C, h, w)``.
        points: ``(B, N, 2)``, x and y in pixels of the encoded image; outside it the border repeats.
        stride: image pixels to a cell.

    Returns:
        ``(B, N, C)`` float32.
    """
    h, w = x.shape[-2:]
    cells = (points + 0.5) / stride - 0.5
    across = _linear_weights(cells[..., 0].clamp(min=0.0).clamp(max=w - 1), torch.arange(w, device=x.device))
    down = _linear_weights(cells[..., 1].clamp(min=0.0).clamp(max=h - 1), torch.arange(h, device=x.device))
    weights = (down[..., :, None] * across[..., None, :]).flatten(2)
    return torch.bmm(weights, x.float().flatten(2).transpose(1, 2))


def _linear_weights(positions: Tensor, cells: Tensor) -> Tensor:
    """The weights ``(B, N, w)`` of the cells ``(w,)`` in a linear interpolation at the positions ``(B, N)``."""
    return (1.0 - (positions[..., None] - cells).abs()).clamp(min=0.0)


def sample_at_clicks(x: Tensor, prompts: Sequence[Prompt], stride: int) -> Tensor:
    """:func:`sample_at` the clicks of each prompt; the values of padding rows are meaningless."""
    return sample_at(x, ClickTensors.from_prompts(prompts, x.device).points, stride)


def similarity(x: Tensor, points: Tensor, labels: Tensor, stride: int) -> Tensor:
    """Cosine similarity of each cell to the most similar positive click, and to the most similar negative click.

    Args:
        x: ``(B, C, h, w)``, vectors of length 1.
        points: ``(B, N, 2)``, see :class:`ClickTensors`.
        labels: ``(B, N)``.
        stride: image pixels to a cell.

    Returns:
        ``(B, 2, h, w)``, positive clicks first; 0 without clicks of that sign.
    """
    clicked = sample_at(x, points, stride).to(x.dtype)
    cosines = torch.bmm(clicked, x.flatten(2))[:, None]
    others = torch.stack([labels != 1.0, labels != 0.0], 1)[..., None]
    highest = cosines.masked_fill(others, -1.0).amax(2).masked_fill(others.all(2), 0.0)
    return highest.unflatten(2, x.shape[-2:])


def aggregate(clicked: Tensor, labels: Tensor) -> Tensor:
    """Aggregate the features under the clicks, in the order of the clicks, to one vector (DCT-Net, equation 3).

    The vector starts at 0 and becomes the features of the first positive click. Each further positive click is averaged
    with the vector; for each negative click the vector becomes its rejection from the click's features Q. The equation
    in the paper divides by the length of Q once, which is the vector rejection only if Q has length 1; here it is the
    rejection for any length.

    Args:
        clicked: ``(B, N, C)`` features under the clicks.
        labels: ``(B, N)``, see :class:`ClickTensors`.

    Returns:
        ``(B, C)``.
    """
    directions = F.normalize(clicked, dim=-1)
    vector = torch.zeros_like(clicked[:, 0])
    share = torch.ones_like(labels[:, 0])  # weight of the next positive click
    for n in range(clicked.shape[1]):
        positive = (labels[:, n] == 1.0).to(clicked.dtype)
        negative = (labels[:, n] == 0.0).to(clicked.dtype)
        vector = vector + (positive * share)[:, None] * (clicked[:, n] - vector)
        vector = vector - (negative * (vector * directions[:, n]).sum(-1))[:, None] * directions[:, n]
        share = torch.where(positive > 0.0, torch.full_like(share, 0.5), share)
    return vector


class RadiusHead(nn.Module):
    """Predicts the radius that a drag would have, from the features under a click and :func:`click_context`.

    Args:
        channels: of the features.
        hidden: channels of the hidden layer.
    """

    def __init__(self, channels: int, hidden: int = 64) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1)
        nn.init.constant_(last.bias, math.log(32.0))
        self.layers = nn.Sequential(nn.Linear(channels + 3, hidden), nn.ReLU(), last)

    def forward(self, clicked: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """The logarithms of the radii in pixels, ``(B, N)``, from features under clicks ``(B, N, C)``."""
        context = np.zeros((*clicked.shape[:2], 3), np.float32)
        for row, prompt in enumerate(prompts):
            for column, click in enumerate(prompt.clicks):
                context[row, column] = click_context(click, prompt.clicks[:column])
        return self.layers(torch.cat([clicked, torch.from_numpy(context).to(clicked)], -1)).squeeze(-1).float()

    def predict_radii(self, clicked: Tensor, prompts: Sequence[Prompt]) -> list[Prompt]:
        """Give clicks without a radius the predicted one.

        Args:
            clicked: ``(B, N, C)`` features under the clicks.
            prompts: one for each image.

        Returns:
            The prompts, in which all clicks have a radius.
        """
        if all(click.radius is not None for prompt in prompts for click in prompt.clicks):
            return list(prompts)
        with torch.no_grad():
            radii = self(clicked, prompts).exp().clamp(MIN_RADIUS, MAX_RADIUS).cpu().numpy()
        return [
            replace(
                prompt,
                clicks=tuple(
                    click if click.radius is not None else replace(click, radius=float(radius))
                    for click, radius in zip(prompt.clicks, row, strict=False)
                ),
            )
            for prompt, row in zip(prompts, radii, strict=True)
        ]

    def loss(self, clicked: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """Smooth L1 loss of the logarithms of radii over the clicks that were dragged; 0 without any.

        Args:
            clicked: ``(B, N, C)`` features under the clicks.
            prompts: one for each image.
        """
        log_radii = np.full(clicked.shape[:2], np.nan, np.float32)
        for row, prompt in enumerate(prompts):
            for column, click in enumerate(prompt.clicks):
                if click.radius is not None:
                    log_radii[row, column] = math.log(max(click.radius, MIN_RADIUS))
        dragged = torch.from_numpy(~np.isnan(log_radii)).to(clicked.device)
        if not dragged.any():
            return clicked.new_zeros(())
        target = torch.from_numpy(log_radii).to(clicked.device)
        return F.smooth_l1_loss(self(clicked, prompts)[dragged], target[dragged])


def click_context(click: Click, earlier: Sequence[Click]) -> tuple[float, float, float]:
    """What else determines the radius of a click.

    Args:
        click: the click.
        earlier: the clicks before it.

    Returns:
        Its sign (1 or -1), whether there are earlier clicks (1 or 0), and a fifth of the logarithm of the distance in
        pixels to the nearest of them, which limits the region of a correction.
    """
    distance = min((math.hypot(click.x - c.x, click.y - c.y) for c in earlier), default=1.0)
    return (1.0 if click.positive else -1.0, float(bool(earlier)), math.log(max(distance, 1.0)) / 5.0)


class AutoDragHead(nn.Module):
    """DCT-Net's lightweight network that predicts a click's radius from the image: five strided convolutions.

    Args:
        hidden: channels of the hidden layer of its :class:`RadiusHead`.
    """

    STRIDE = 32

    def __init__(self, hidden: int) -> None:
        super().__init__()
        widths = (3, 16, 24, 32, 48, 64)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, 2, 1, bias=False), nn.BatchNorm2d(b), nn.ReLU(inplace=True))
                for a, b in pairwise(widths)
            )
        )
        self.radius = RadiusHead(widths[-1], hidden)

    def encode(self, image: Tensor) -> Tensor:
        """Features ``(B, 64, H/32, W/32)`` of normalised images ``(B, 3, H, W)``."""
        padded = pad_to_multiple(image, self.STRIDE)
        return self.layers(padded.contiguous(memory_format=torch.channels_last))

    def predict_radii(self, features: Tensor, prompts: Sequence[Prompt]) -> list[Prompt]:
        """See :meth:`RadiusHead.predict_radii`; the features are those of :meth:`encode`."""
        return self.radius.predict_radii(sample_at_clicks(features, prompts, self.STRIDE), prompts)

    def loss(self, features: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """See :meth:`RadiusHead.loss`; the features are those of :meth:`encode`."""
        return self.radius.loss(sample_at_clicks(features, prompts, self.STRIDE), prompts)
