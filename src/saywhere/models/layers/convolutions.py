"""Convolutions with batch norm, and one of several feature maps."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F


class SplitConv1x1(nn.Conv2d):
    """A 1x1 convolution of several feature maps, without concatenating them.

    :meth:`project` computes the first map's share of the result. It can run before the other maps are known (the
    image's share does not change from click to click), or before the first map is enlarged (a 1x1 convolution commutes
    with interpolation).

    Args:
        parts: channels of each map.
        outputs: channels of the result.
    """

    def __init__(self, parts: Sequence[int], outputs: int) -> None:
        super().__init__(sum(parts), outputs, 1, bias=False)
        self.parts = list(parts)

    def project(self, x: Tensor) -> Tensor:
        """The share of the first map ``(B, parts[0], h, w)`` in the result."""
        return F.conv2d(x, self.weight.split(self.parts, dim=1)[0])

    def forward(self, maps: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """Add the shares of the other maps.

        Args:
            maps: what :meth:`project` returned, at its final size; then the other maps.
        """
        result, *others = maps
        bias = self.bias
        for other, weight in zip(others, self.weight.split(self.parts, dim=1)[1:], strict=True):
            if weight.shape[1]:
                result, bias = result + F.conv2d(other, weight, bias), None
        return result


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """A convolution with batch norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def split_conv(parts: Sequence[int], outputs: int) -> nn.Sequential:
    """A :class:`SplitConv1x1` with batch norm and ReLU."""
    return nn.Sequential(SplitConv1x1(parts, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))
