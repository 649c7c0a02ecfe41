"""Self-attention over the encoder's features."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from timm.models.vision_transformer import Block
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.errors import SaywhereError

HEAD_CHANNELS = 32  # of each attention head


def enlarge(x: Tensor, factor: float = 2.0) -> Tensor:
    """Bilinear interpolation of ``(B, C, h, w)`` by a constant factor.

    ONNX Runtime computes it faster than interpolation to a given size.
    """
    return F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)


def transformer_blocks(
    width: int, count: int, head_channels: int = HEAD_CHANNELS
) -> tuple[nn.ModuleList, nn.ModuleList]:
    """The layers of :func:`run_blocks`: a depthwise convolution and a transformer block for each of ``count``.

    Args:
        width: channels, a multiple of ``head_channels``.
        count: number of blocks.
        head_channels: channels of each attention head.
    """
    position_convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1, groups=width) for _ in range(count))
    heads = width // head_channels
    blocks = nn.ModuleList(Block(width, heads, mlp_ratio=2.0, qkv_bias=True) for _ in range(count))
    return position_convs, blocks


def run_blocks(
    x: Tensor, input_norm: nn.Module, position_convs: nn.ModuleList, blocks: nn.ModuleList, output_norm: nn.Module
) -> Tensor:
    """Apply transformer blocks to the cells of a feature map.

    A depthwise convolution before each block encodes the position (as in CPVT, Chu et al. 2021), so that images of any
    size can be used.

    Args:
        x: ``(B, C, h, w)``.
        input_norm: applied before the blocks.
        position_convs: the depthwise convolutions.
        blocks: the transformer blocks.
        output_norm: applied after them.

    Returns:
        ``(B, C, h, w)``.
    """
    batch, channels, height, width = x.shape
    cells = input_norm(x.flatten(2).transpose(1, 2))
    for position_conv, block in zip(position_convs, blocks, strict=True):
        x = cells.transpose(1, 2).reshape(batch, channels, height, width)
        cells = block((x + position_conv(x)).flatten(2).transpose(1, 2))
    return output_norm(cells).transpose(1, 2).reshape(batch, channels, height, width)


class SelfAttentionNeck(nn.Module):
    """Transformer blocks of timm at stride 16, over a backbone's levels of strides 8, 16 and 32.

    See :func:`run_blocks`. The result is added to the three levels. It is 0 at first, so that adding the neck to a
    trained network does not change its masks.

    Args:
        channels: of the three levels.
        blocks: number of transformer blocks.
        width: channels of the blocks.

    Raises:
        SaywhereError: there are no blocks, or ``width`` is no multiple of :data:`HEAD_CHANNELS`.
    """

    def __init__(self, channels: Sequence[int], blocks: int, width: int = 192) -> None:
        super().__init__()
        if blocks < 1 or width < HEAD_CHANNELS or width % HEAD_CHANNELS:
            raise SaywhereError(
                f"neck of {blocks} blocks and {width} channels: give at least one block, and a multiple of "
                f"{HEAD_CHANNELS} channels"
            )
        self.enter = nn.Conv2d(sum(channels), width, 1)
        self.entered = nn.LayerNorm(width)
        self.places, self.blocks = transformer_blocks(width, blocks)
        self.norm = nn.LayerNorm(width)
        self.leave = nn.ModuleList(nn.Conv2d(width, c, 1) for c in channels)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Apply the blocks.

        Args:
            fine: ``(B, C, 4h, 4w)``, stride 8.
            middle: ``(B, C, 2h, 2w)``, stride 16.
            coarse: ``(B, C, h, w)``, stride 32.

        Returns:
            The three levels, of the same shapes.
        """
        x = self.enter(torch.cat([F.avg_pool2d(fine, 2), middle, enlarge(coarse)], 1))
        x = run_blocks(x, self.entered, self.places, self.blocks, self.norm)
        to_fine, to_middle, to_coarse = self.leave
        return fine + enlarge(to_fine(x)), middle + to_middle(x), coarse + to_coarse(F.avg_pool2d(x, 2))
