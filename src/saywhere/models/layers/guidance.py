"""Guidance maps: how a prompt is drawn for a network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from saywhere.core.prompt import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, NEGATIVE, POSITIVE
from saywhere.models.layers.clicks import ClickTensors

STRIDE = 4  # image pixels to a cell of our network's maps
CLICK_SIGMA = 6.0  # standard deviation of a click's Gaussian, in pixels of the encoded image


def guidance_maps(clicks: ClickTensors, previous: Tensor, with_box: bool) -> Tensor:
    """The guidance maps of our network: clicks, drags, the previous mask, and the box if the network reads it.

    Args:
        clicks: the points of B prompts.
        previous: ``(B, 1, H, W)`` probability of the previous mask.
        with_box: whether the box is drawn.

    Returns:
        ``(B, 8, H/4, W/4)``, with three more channels for the box.
    """
    shape = previous.shape[-2] // STRIDE, previous.shape[-1] // STRIDE
    drag_sigmas = 0.5 * clicks.radii
    click_sigmas = torch.full_like(drag_sigmas, CLICK_SIGMA)
    maps = [
        gaussian_maps(clicks.points, clicks.labels, click_sigmas, shape, STRIDE),
        gaussian_maps(clicks.points, clicks.labels, drag_sigmas, shape, STRIDE),
        F.conv2d(previous, _unshuffle_weights(previous), stride=STRIDE),
    ]
    if with_box:
        corners = BOX_TOP_LEFT, BOX_BOTTOM_RIGHT
        maps.append(box_map(clicks.points, clicks.labels, shape, STRIDE))
        maps.append(gaussian_maps(clicks.points, clicks.labels, click_sigmas, shape, STRIDE, corners))
    return torch.cat(maps, 1)


def _unshuffle_weights(like: Tensor) -> Tensor:
    """Weights of a convolution of stride 4 that averages 2x2 pixels and unshuffles 2x2 averages into channels."""
    corners = torch.eye(4, dtype=like.dtype, device=like.device).reshape(4, 1, 2, 2)
    return 0.25 * corners.repeat_interleave(2, 2).repeat_interleave(2, 3)


def gaussian_maps(
    points: Tensor,
    labels: Tensor,
    sigmas: Tensor,
    shape: tuple[int, int],
    stride: int,
    drawn_labels: tuple[float, ...] = (POSITIVE, NEGATIVE),
) -> Tensor:
    """Draw the maximum of one Gaussian for each point, for each label.

    With half the radii as ``sigmas`` these are DCT-Net's dynamic maps (equation 2).

    Args:
        points: ``(B, N, 2)``, see :class:`ClickTensors`.
        labels: ``(B, N)``.
        sigmas: ``(B, N)`` standard deviations in image pixels; a click with 0 is not drawn.
        shape: height and width of the maps, in cells.
        stride: image pixels to a cell.
        drawn_labels: the L labels to draw; by default positive and negative clicks.

    Returns:
        ``(B, L, h, w)`` in [0, 1]; by default positive clicks first.
    """
    h, w = shape
    x, y = (points + 0.5).unbind(-1)
    across = ((torch.arange(w, device=points.device) + 0.5) * stride - x[..., None]) ** 2
    down = ((torch.arange(h, device=points.device) + 0.5) * stride - y[..., None]) ** 2
    steepness = -0.5 / sigmas.clamp(min=1e-3) ** 2
    columns = (across * steepness[..., None]).exp()
    rows = (down * steepness[..., None]).exp()
    drawn = torch.stack([labels == label for label in drawn_labels], 1) & (sigmas > 0.0)[:, None]
    rows = rows[:, None] * drawn[..., None].to(rows.dtype)
    return (rows[..., :, None] * columns[:, None, :, None, :]).amax(2)


def box_map(points: Tensor, labels: Tensor, shape: tuple[int, int], stride: int) -> Tensor:
    """The guidance map of a box: how much of each cell it covers.

    Args:
        points: ``(B, N, 2)``, see :class:`ClickTensors`; a prompt has one box at most.
        labels: ``(B, N)``.
        shape: height and width of the map, in cells.
        stride: image pixels to a cell.

    Returns:
        ``(B, 1, h, w)`` in [0, 1]; 0 without a box.
    """
    top_left = (labels == BOX_TOP_LEFT).to(points.dtype)
    bottom_right = (labels == BOX_BOTTOM_RIGHT).to(points.dtype)
    low = ((points + 0.5) * top_left[..., None]).sum(1)
    high = ((points + 0.5) * bottom_right[..., None]).sum(1)
    h, w = shape
    columns = _covered(low[:, :1], high[:, :1], torch.arange(w, device=points.device), stride)
    rows = _covered(low[:, 1:], high[:, 1:], torch.arange(h, device=points.device), stride)
    return (rows[:, :, None] * columns[:, None, :])[:, None]


def _covered(low: Tensor, high: Tensor, cells: Tensor, stride: int) -> Tensor:
    """The share of each cell ``(w,)`` between two edges ``(B, 1)`` in image pixels: ``(B, w)``."""
    edges = cells * stride
    return (torch.minimum(high, edges + stride) - torch.maximum(low, edges)).clamp(min=0.0) / stride
