"""What every place of a photograph learns of all others, before anything is asked."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.errors import SaywhereError

HEAD = 32  # channels of an attention head


def enlarge(x: Tensor, factor: float = 2.0) -> Tensor:
    """Bilinear interpolation by a constant factor, which ONNX Runtime computes faster than one to a given size."""
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


class SelfAttentionNeck(nn.Module):
    """Transformer blocks (timm's) at stride 16 between a backbone and what uses its levels of strides 8, 16 and 32.

    A place's cell is told where it is by a depthwise convolution before each block, so that photographs of any size
    will do. What comes of it is added to the three levels; at first nothing does, so that a network that gets a neck
    answers as before.
    """

    def __init__(self, channels: Sequence[int], blocks: int, width: int = 192) -> None:
        super().__init__()
        if blocks < 1 or width < HEAD or width % HEAD:
            raise SaywhereError(f"neck of {blocks} blocks and {width} channels: at least one, and a multiple of {HEAD}")
        self.enter = nn.Conv2d(sum(channels), width, 1)
        self.entered = nn.LayerNorm(width)
        self.places = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in range(blocks))
        self.blocks = nn.ModuleList(Block(width, width // HEAD, mlp_ratio=2.0, qkv_bias=True) for _ in range(blocks))
        self.norm = nn.LayerNorm(width)
        self.leave = nn.ModuleList(nn.Conv2d(width, c, 1) for c in channels)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The levels of strides 8, 16 and 32 ``(B, C, h, w)``, each twice as large as the next."""
        x = self.enter(torch.cat([F.avg_pool2d(fine, 2), middle, enlarge(coarse)], 1))
        b, c, h, w = x.shape
        cells = self.entered(x.flatten(2).transpose(1, 2))
        for place, block in zip(self.places, self.blocks, strict=True):
            seen = cells.transpose(1, 2).reshape(b, c, h, w)
            cells = block((seen + place(seen)).flatten(2).transpose(1, 2))
        known = self.norm(cells).transpose(1, 2).reshape(b, c, h, w)
        finer, same, coarser = self.leave
        return fine + enlarge(finer(known)), middle + same(known), coarse + coarser(F.avg_pool2d(known, 2))
