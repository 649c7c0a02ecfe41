"""Parameters and multiply-adds of published networks with their own backbones, untrained (SIIS, table 2)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP

from saywhere.models import build
from saywhere.models.backbone import create_backbone
from saywhere.models.layers.convolutions import conv
from saywhere.models.sequential import RATES


class DeepLabV3Plus(nn.Module):
    """DeepLabv3+ (Chen et al. 2018), ResNet-101 at stride 16, with two click maps beside RGB: table 2's first row."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone, (low, high) = create_backbone("resnet101", (4, 16), (1, 4), in_channels=5, output_stride=16)
        self.aspp = ASPP(high, RATES, 256)
        self.low = nn.Sequential(*conv(low, 48, 1))
        self.head = nn.Sequential(*conv(256 + 48, 256, 3), *conv(256, 256, 3), nn.Conv2d(256, 1, 1))

    def forward(self, image: Tensor) -> Tensor:
        low, high = self.backbone(image)
        context = F.interpolate(self.aspp(high), size=low.shape[-2:], mode="bilinear", align_corners=False)
        return self.head(torch.cat([context, self.low(low)], 1))


def measure_cost(network: str, size: int) -> dict[str, Any]:
    """Parameters, and multiply-adds of one image of ``size`` x ``size`` pixels with one click.

    Args:
        network: "deeplabv3plus", or a registered network with its default options, which are the paper's.
        size: side of the image, in pixels.

    Returns:
        ``parameters`` and ``multiply_adds``.
    """
    from torch.utils.flop_counter import FlopCounterMode

    from saywhere.core.prompt import Click, Prompt

    model = DeepLabV3Plus().eval() if network == "deeplabv3plus" else build(network, {}).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        if isinstance(model, DeepLabV3Plus):
            model(torch.zeros(1, 5, size, size))
        else:
            model(torch.zeros(1, 3, size, size), [Prompt((Click(9, 9),))])
    return {
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "multiply_adds": counter.get_total_flops() // 2,
    }
