"""Post-processing of masks inside an exported graph: what :mod:`saywhere.core` does with arrays, with tensors."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from saywhere.core.box_fit import FIT_POWER, TOLERANCE
from saywhere.core.geometry import ImageSize
from saywhere.core.mask import NOTHING
from saywhere.core.prompt import BOX_BOTTOM_RIGHT, BOX_TOP_LEFT, POSITIVE

REMOVED = -8.0  # the logit of a component that was removed
CELL = 4  # pixels to a cell in which connected components are found


def remove_unclicked_components(
    logits: Tensor, points: Tensor, labels: Tensor, fill: Callable[[Tensor, Tensor], Tensor]
) -> Tensor:
    """Candidates without the connected components that no positive click is on.

    :func:`saywhere.core.components.remove_unclicked_components` for a graph: components are joined where they lie in
    one or in neighbouring cells of :data:`CELL` pixels, and small ones go after any number of clicks.

    Args:
        logits: ``(1, M, H, W)``.
        points: ``(1, N, 2)`` in pixels of the logits.
        labels: ``(1, N)``.
        fill: :func:`flood_fill`, or the same as a script.

    Returns:
        ``(1, M, H, W)`` logits, at most :data:`REMOVED` where a component was removed and at most 16 on the rest.
    """
    height, width = logits.shape[-2:]
    present = (F.max_pool2d(logits, CELL, ceil_mode=True) > 0.0).to(logits.dtype)
    columns, rows = (
        (torch.floor(points[0, :, i, None] / CELL + 0.5 / CELL) == torch.arange(count)).to(logits.dtype)
        for i, count in enumerate((present.shape[-1], present.shape[-2]))
    )
    is_positive = (labels[0] == POSITIVE).to(logits.dtype)
    clicked = ((rows * is_positive[:, None]).T @ columns).clamp(max=1.0) * present
    # First over cells four times as large that are present as a whole: most of the way in a few small steps.
    solid = -F.max_pool2d(-present, 4)
    inside = fill(F.max_pool2d(clicked, 4) * solid, solid)
    inside = F.pad(repeat_cells(inside, 4), (0, present.shape[-1] % 4, 0, present.shape[-2] % 4))
    reached = fill(torch.maximum(clicked, inside), present)
    # A candidate that no click is on stays whole.
    removed = (present > reached) & (clicked.amax((2, 3), keepdim=True) > 0.0)
    highest = repeat_cells(torch.where(removed, REMOVED, -NOTHING), CELL)
    return torch.minimum(logits, cropped(highest, ImageSize(height, width)))


def cropped(maps: Tensor, size: ImageSize) -> Tensor:
    """The upper left of maps ``(B, C, H, W)``, without an operation in the graph where they have this size."""
    return maps if ImageSize(*maps.shape[-2:]) == size else maps[..., : size.height, : size.width]


def repeat_cells(cells: Tensor, times: int) -> Tensor:
    """Each cell as ``times`` by ``times`` cells."""
    return F.interpolate(cells, scale_factor=float(times), mode="nearest")


def flood_fill(reached: Tensor, present: Tensor) -> Tensor:
    """All cells that are connected with those reached.

    Args:
        reached: ``(B, M, h, w)``, 1 for cells to start from, else 0.
        present: ``(B, M, h, w)``, 1 for cells that can be reached, else 0.

    Returns:
        ``(B, M, h, w)``, 1 for cells that are reached over neighbours, the diagonal ones included.
    """
    grows = True
    while grows:
        wider = reached
        for _ in range(4):
            wider = torch.max_pool2d(wider, [3, 3], [1, 1], [1, 1]) * present
        grows = bool((wider > reached).any())
        reached = wider
    return reached


def fit_to_box(logits: Tensor, scores: Tensor, points: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Candidates limited to a box prompt and scored by their agreement with it, as :mod:`saywhere.core.box_fit` does.

    Args:
        logits: ``(1, M, H, W)``.
        scores: ``(1, M)`` predicted IoU.
        points: ``(1, N, 2)`` clicks and corners, whose pixels' centres are half a pixel farther.
        labels: ``(1, N)``; without corners nothing changes.

    Returns:
        Logits and scores.
    """
    ends = points + 0.5
    low, high = (
        (ends * (labels == corner).to(ends.dtype)[..., None]).sum(1) for corner in (BOX_TOP_LEFT, BOX_BOTTOM_RIGHT)
    )
    has_box = (labels == BOX_TOP_LEFT).any()
    reach = TOLERANCE * (high - low).amax(1, keepdim=True)
    is_outside = ((ends < (low - reach)[:, None]) | (ends > (high + reach)[:, None])).any(-1)
    is_limited = has_box & ~(is_outside & (labels == POSITIVE)).any()
    sides = [torch.arange(side) for side in (logits.shape[-1], logits.shape[-2])]
    across, down = (
        (cells + 0.5 >= low[0, i] - reach[0]) & (cells + 0.5 <= high[0, i] + reach[0]) for i, cells in enumerate(sides)
    )
    logits = torch.where((down[:, None] & across) | ~is_limited, logits, logits.new_tensor(NOTHING))
    edges = []
    for cells, largest in zip(sides, (logits.amax(2), logits.amax(3)), strict=True):
        present = largest > 0.0
        edges.append((torch.where(present, cells, len(cells)).amin(-1), torch.where(present, cells + 1, 0).amax(-1)))
    (left, right), (top, bottom) = edges
    width = torch.minimum(right, high[:, :1]) - torch.maximum(left, low[:, :1])
    height = torch.minimum(bottom, high[:, 1:]) - torch.maximum(top, low[:, 1:])
    overlap = width.clamp(min=0.0) * height.clamp(min=0.0)
    areas = (right - left).clamp(min=0) * (bottom - top).clamp(min=0) + (high - low).prod(1, keepdim=True)
    agreement = overlap / (areas - overlap).clamp(min=1e-6)
    return logits, torch.where(has_box, scores * agreement**FIT_POWER, scores)
