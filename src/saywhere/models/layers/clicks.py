"""What clicks tell a network beyond where they are: the features under them, and how far they reach (DCT-Net)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.core import guidance
from saywhere.core.prompt import Click, Prompt

LEAST, MOST = 1.0, 2000.0  # pixels: radii outside are not predicted


def to_device(array: NDArray[Any], device: torch.device) -> Tensor:
    """An array as a tensor on a device, without waiting for what the device still has to do."""
    return torch.from_numpy(array).to(device, non_blocking=True)


def at_clicks(x: Tensor, prompts: Sequence[Prompt], stride: int) -> Tensor:
    """The vectors of a level ``(B, C, h, w)`` under each prompt's clicks, in their order: ``(B, N, C)``.

    Between cells they are interpolated; rows with fewer than N clicks are filled up with what must not be read.
    """
    most = max(1, *(len(p.clicks) for p in prompts))
    points = np.zeros((len(prompts), 1, most, 2), np.float32)
    for row, prompt in enumerate(prompts):
        for column, click in enumerate(prompt.clicks):
            points[row, 0, column] = click.x + 0.5, click.y + 0.5
    h, w = x.shape[-2:]
    extent = np.array([w * stride, h * stride], np.float32)
    grid = to_device(points / extent * 2.0 - 1.0, x.device)
    found = F.grid_sample(x.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    return found[:, :, 0].transpose(1, 2)


def similarity(x: Tensor, prompts: Sequence[Prompt], stride: int) -> Tensor:
    """How alike every place of a level of unit vectors ``(B, C, h, w)`` is to its most alike positive click, and to its
    most alike negative one: cosines ``(B, 2, h, w)``, 0 without such clicks."""
    b, _, h, w = x.shape
    clicked = at_clicks(x, prompts, stride).to(x.dtype)
    others = np.ones((b, 2, clicked.shape[1], 1), np.bool_)  # by sign, whether a row is no click of that sign
    for row, prompt in enumerate(prompts):
        for column, click in enumerate(prompt.clicks):
            others[row, 0 if click.positive else 1, column] = False
    cosines = torch.bmm(clicked, x.flatten(2))[:, None].masked_fill(to_device(others, x.device), -1.0)
    clickless = to_device(np.asarray(others.all(2)), x.device)
    return cosines.amax(2).masked_fill(clickless, 0.0).reshape(b, 2, h, w)


def gaussians(
    prompts: Sequence[Prompt], shape: tuple[int, int], stride: int, device: torch.device, sigma: float | None = None
) -> Tensor:
    """The maps of :mod:`saywhere.core.guidance` for a batch, on any device: ``(B, 2, h, w)``, by sign.

    Gaussians of ``sigma`` image pixels; without it each as wide as its drag (``dynamic``, equation 2 of DCT-Net), and
    clicks without a drag leave no mark.
    """
    if device.type != "cpu":
        return gaussians_at_once(prompts, shape, stride, device, sigma)
    # Here numpy is the faster one: 0.2 instead of 1 ms for the few clicks of one prompt.
    if sigma is None:
        drawn = [guidance.maps(prompt, shape, "dynamic", stride) for prompt in prompts]
    else:
        drawn = [guidance.maps(prompt, shape, "gaussian", stride, sigma=sigma) for prompt in prompts]
    return torch.from_numpy(np.stack(drawn))


def gaussians_at_once(
    prompts: Sequence[Prompt], shape: tuple[int, int], stride: int, device: torch.device, sigma: float | None = None
) -> Tensor:
    """The same, all prompts together and by the device itself."""
    most = max(1, *(len(p.clicks) for p in prompts))
    points = np.zeros((2, len(prompts), most), np.float32)
    steep = np.full((len(prompts), 2, most), np.nan, np.float32)
    for row, prompt in enumerate(prompts):
        for column, click in enumerate(prompt.clicks):
            width = 0.5 * click.radius if sigma is None and click.radius is not None else sigma
            points[:, row, column] = click.x + 0.5, click.y + 0.5
            if width is not None:
                steep[row, 0 if click.positive else 1, column] = -0.5 / width**2
    h, w = shape
    x, y = to_device(points, device)
    across = ((torch.arange(w, device=device) + 0.5) * stride - x[..., None]) ** 2
    down = ((torch.arange(h, device=device) + 0.5) * stride - y[..., None]) ** 2
    squared = down[:, None, :, :, None] + across[:, None, :, None, :]
    unmarked = to_device(np.isnan(steep), device)[..., None, None]
    exponent = squared * to_device(np.nan_to_num(steep), device)[..., None, None]
    return exponent.masked_fill(unmarked, -torch.inf).amax(2).exp()


def aggregate(clicked: Tensor, signs: Sequence[Sequence[bool]]) -> Tensor:
    """Equation 3 of DCT-Net: ``(B, N, C)`` features under the clicks, in their order, to one vector each ``(B, C)``.

    A positive click is averaged into what there is, a negative one taken out of it by vector rejection. As printed,
    the equation divides by the length of Q once, which is the rejection only when Q has unit length: what is taken
    out here is along Q whatever its length. The first positive click is taken whole; before it there is nothing.
    """
    count = clicked.shape[1]
    share = np.zeros((len(signs), count, 1), np.float32)  # of a positive click in what there is after it
    rejects = np.zeros_like(share)
    for place, row in enumerate(signs):
        for column, positive in enumerate(row[:count]):
            if positive:
                share[place, column] = 0.5 if share[place].any() else 1.0
            else:
                rejects[place, column] = 1.0
    shares = to_device(share, clicked.device).to(clicked.dtype)
    along = (
        F.normalize(clicked, dim=-1) * to_device(rejects, clicked.device).to(clicked.dtype)
        if rejects.any()
        else clicked
    )
    f = torch.zeros_like(clicked[:, 0])
    for n in range(count):
        if share[:, n].any():
            f = torch.lerp(f, clicked[:, n], shares[:, n])
        if rejects[:, n].any():
            f = f - (f * along[:, n]).sum(-1, keepdim=True) * along[:, n]
    return f


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
