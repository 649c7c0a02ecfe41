"""Our network without one idea that has no option of its own, to measure what the idea is worth."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from saywhere.errors import SaywhereError
from saywhere.models.layers.clicks import ClickTensors
from saywhere.models.layers.guidance import CLICK_SIGMA
from saywhere.models.saywhere import Saywhere

IDEAS = ("drag_width", "fusion")


class SaywhereAblation(Saywhere):
    """:class:`Saywhere` without some ideas. It has the same parameters; some are unused.

    Args:
        without: of :data:`IDEAS`. ``drag_width``: every drag is drawn as wide as a click (without DCT-Net's
            Spatial-DCT, equation 2). ``fusion``: guidance is fused with the features at stride 4 alone, not at every
            stride (without Multi-Stage Fusion, section 3.2).
        options: of :class:`Saywhere`.

    Raises:
        SaywhereError: an idea is unknown.

    Example:
        >>> SaywhereAblation(without=("fusion",), backbone="mobilenetv3_small_050").without
        ('fusion',)
    """

    def __init__(self, without: tuple[str, ...] = (), **options: Any) -> None:
        if unknown := set(without) - set(IDEAS):
            raise SaywhereError(f"without {sorted(unknown)}: choose from {', '.join(IDEAS)}")
        super().__init__(**options)
        self.without = tuple(without)

    def draw(self, clicks: ClickTensors, previous: Tensor) -> Tensor:
        if "drag_width" in self.without:
            width = torch.full_like(clicks.radii, 2.0 * CLICK_SIGMA)
            clicks = clicks._replace(radii=torch.where(clicks.radii > 0.0, width, clicks.radii))
        return super().draw(clicks, previous)

    def pass_down(self, layer: nn.Module, finer: Tensor) -> Tensor:
        passed = super().pass_down(layer, finer)
        return torch.zeros_like(passed) if "fusion" in self.without else passed
