"""What clicks tell a network beyond where they are: the features under them, and how far they reach (DCT-Net)."""

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

LEAST, MOST = 1.0, 2000.0  # pixels: radii outside are not predicted


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on a device, without waiting for what the device still has to do."""
    return torch.from_numpy(array).to(device, non_blocking=True)


class ClickTensors(NamedTuple):
    """:class:`saywhere.core.prompt.ClickArrays` on a device."""

    points: Tensor
    labels: Tensor
    radii: Tensor

    @classmethod
    def of(cls, prompts: Sequence[Prompt], device: torch.device) -> ClickTensors:
        """The clicks of a batch of prompts."""
        return cls(*(to_device(array, device) for array in click_arrays(prompts)))


def sample_at(x: Tensor, points: Tensor, stride: int) -> Tensor:
    """Bilinear samples of a feature level, as one matrix product, which every runtime can compute and differentiate.

    Args:
        x: ``(B, C, h, w)``.
        points: ``(B, N, 2)``, x and y in pixels of the encoded image; outside it the border repeats.
        stride: image pixels to a cell.

    Returns:
        ``(B, N, C)`` float32.
    """
    h, w = x.shape[-2:]
    cells = (points + 0.5) / stride - 0.5
    across = _hat(cells[..., 0].clamp(min=0.0).clamp(max=w - 1), torch.arange(w, device=x.device))
    down = _hat(cells[..., 1].clamp(min=0.0).clamp(max=h - 1), torch.arange(h, device=x.device))
    weights = (down[..., :, None] * across[..., None, :]).flatten(2)
    return torch.bmm(weights, x.float().flatten(2).transpose(1, 2))


def _hat(positions: Tensor, cells: Tensor) -> Tensor:
    """The weight of each cell ``(w,)`` in a linear interpolation at positions ``(B, N)``: ``(B, N, w)``."""
    return (1.0 - (positions[..., None] - cells).abs()).clamp(min=0.0)


def at_clicks(x: Tensor, prompts: Sequence[Prompt], stride: int) -> Tensor:
    """:func:`sample_at` the clicks of each prompt; rows with fewer than N clicks end with values to ignore."""
    return sample_at(x, ClickTensors.of(prompts, x.device).points, stride)


def similarity(x: Tensor, points: Tensor, labels: Tensor, stride: int) -> Tensor:
    """The cosine of every cell with its most similar positive click and with its most similar negative click.

    Args:
        x: ``(B, C, h, w)``, vectors of length 1.
        points: ``(B, N, 2)``, see :class:`ClickTensors`.
        labels: ``(B, N)``.
        stride: image pixels to a cell.

    Returns:
        ``(B, 2, h, w)``, by sign; 0 without such clicks.
    """
    clicked = sample_at(x, points, stride).to(x.dtype)
    cosines = torch.bmm(clicked, x.flatten(2))[:, None]
    others = torch.stack([labels != 1.0, labels != 0.0], 1)[..., None]
    nearest = cosines.masked_fill(others, -1.0).amax(2).masked_fill(others.all(2), 0.0)
    return nearest.unflatten(2, x.shape[-2:])


def gaussian_maps(points: Tensor, labels: Tensor, sigmas: Tensor, shape: tuple[int, int], stride: int) -> Tensor:
    """Guidance maps of Gaussians, the highest where several meet; by sign.

    With ``sigmas`` of half the radius these are DCT-Net's dynamic maps (equation 2).

    Args:
        points: ``(B, N, 2)``, see :class:`ClickTensors`.
        labels: ``(B, N)``.
        sigmas: ``(B, N)`` standard deviations in image pixels; a click with 0 is not drawn.
        shape: height and width of the maps, in cells.
        stride: image pixels to a cell.

    Returns:
        ``(B, 2, h, w)`` in [0, 1].
    """
    h, w = shape
    x, y = (points + 0.5).unbind(-1)
    across = ((torch.arange(w, device=points.device) + 0.5) * stride - x[..., None]) ** 2
    down = ((torch.arange(h, device=points.device) + 0.5) * stride - y[..., None]) ** 2
    steepness = -0.5 / sigmas.clamp(min=1e-3) ** 2
    columns = (across * steepness[..., None]).exp()
    rows = (down * steepness[..., None]).exp()
    drawn = torch.stack([labels == 1.0, labels == 0.0], 1) & (sigmas > 0.0)[:, None]
    rows = rows[:, None] * drawn[..., None].to(rows.dtype)
    return (rows[..., :, None] * columns[:, None, :, None, :]).amax(2)


def aggregate(clicked: Tensor, labels: Tensor) -> Tensor:
    """Equation 3 of DCT-Net: the features under the clicks, in their order, become one vector.

    A positive click is averaged into the vector so far, a negative one is taken out of it by vector rejection. As
    printed, the equation divides by the length of Q once, which is the rejection only when Q has unit length: here the
    rejection is along Q whatever its length. The first positive click is taken whole; before it the vector is 0.

    Args:
        clicked: ``(B, N, C)``.
        labels: ``(B, N)``, see :class:`ClickTensors`.

    Returns:
        ``(B, C)``.
    """
    along = F.normalize(clicked, dim=-1)
    vector = torch.zeros_like(clicked[:, 0])
    share = torch.ones_like(labels[:, 0])  # of the next positive click
    for n in range(clicked.shape[1]):
        positive = (labels[:, n] == 1.0).to(clicked.dtype)
        negative = (labels[:, n] == 0.0).to(clicked.dtype)
        vector = vector + (positive * share)[:, None] * (clicked[:, n] - vector)
        vector = vector - (negative * (vector * along[:, n]).sum(-1))[:, None] * along[:, n]
        share = torch.where(positive > 0.0, torch.full_like(share, 0.5), share)
    return vector


class RadiusHead(nn.Module):
    """From the features under a click and what else is known of it to the radius that a drag would have had.

    Three facts join the features: the click's sign, whether there was one before, and the distance to the nearest one
    before, which bounds how far a correction reaches.
    """

    def __init__(self, channels: int, hidden: int = 64) -> None:
        super().__init__()
        last = nn.Linear(hidden, 1)
        nn.init.constant_(last.bias, math.log(32.0))
        self.layers = nn.Sequential(nn.Linear(channels + 3, hidden), nn.ReLU(), last)

    def forward(self, clicked: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """Features under clicks ``(B, N, C)`` to the logarithms of their radii in pixels ``(B, N)``."""
        facts = np.zeros((*clicked.shape[:2], 3), np.float32)
        for row, prompt in enumerate(prompts):
            for column, click in enumerate(prompt.clicks):
                facts[row, column] = known_of(click, prompt.clicks[:column])
        told = torch.from_numpy(facts).to(clicked)
        return self.layers(torch.cat([clicked, told], -1)).squeeze(-1).float()

    def widen(self, clicked: Tensor, prompts: Sequence[Prompt]) -> list[Prompt]:
        """The prompts with a radius for every click: the one it was dragged with, or the one that is predicted."""
        if all(click.radius is not None for prompt in prompts for click in prompt.clicks):
            return list(prompts)
        with torch.no_grad():
            radii = self(clicked, prompts).exp().clamp(LEAST, MOST).cpu().numpy()
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
        """How far the logarithms of predicted radii are from those of dragged ones (smooth L1); 0 without drags."""
        true = np.full(clicked.shape[:2], np.nan, np.float32)
        for row, prompt in enumerate(prompts):
            for column, click in enumerate(prompt.clicks):
                if click.radius is not None:
                    true[row, column] = math.log(max(click.radius, LEAST))
        dragged = torch.from_numpy(~np.isnan(true)).to(clicked.device)
        if not dragged.any():
            return clicked.new_zeros(())
        target = torch.from_numpy(true).to(clicked.device)
        return F.smooth_l1_loss(self(clicked, prompts)[dragged], target[dragged])


def known_of(click: Click, before: Sequence[Click]) -> tuple[float, float, float]:
    """Sign (1 or -1), whether clicks came before (1 or 0), and the logarithm of the distance to the nearest of them."""
    near = min((math.hypot(click.x - c.x, click.y - c.y) for c in before), default=1.0)
    return (1.0 if click.positive else -1.0, float(bool(before)), math.log(max(near, 1.0)) / 5.0)


class AutoDragHead(nn.Module):
    """DCT-Net's lightweight network that predicts a click's radius from the photograph: five strided convolutions."""

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

    def look(self, image: Tensor) -> Tensor:
        """The photograph ``(B, 3, H, W)``, normalised, to ``(B, 64, H/32, W/32)``."""
        h, w = image.shape[-2:]
        padded = F.pad(image, (0, -w % self.STRIDE, 0, -h % self.STRIDE), mode="replicate")
        return self.layers(padded.contiguous(memory_format=torch.channels_last))

    def widen(self, seen: Tensor, prompts: Sequence[Prompt]) -> list[Prompt]:
        """See :meth:`RadiusHead.widen`."""
        return self.radius.widen(at_clicks(seen, prompts, self.STRIDE), prompts)

    def loss(self, seen: Tensor, prompts: Sequence[Prompt]) -> Tensor:
        """See :meth:`RadiusHead.loss`."""
        return self.radius.loss(at_clicks(seen, prompts, self.STRIDE), prompts)
