"""The input of all networks: a timm backbone, ImageNet's normalisation, padding to whole cells."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.errors import SaywhereError

IMAGENET_MEAN: Final = (0.485, 0.456, 0.406)
"""Mean of ImageNet's RGB values in [0, 1]."""
IMAGENET_STD: Final = (0.229, 0.224, 0.225)
"""Standard deviation of ImageNet's RGB values in [0, 1]."""


def create_backbone(
    name: str,
    strides: Sequence[int],
    stages: Sequence[int],
    in_channels: int = 3,
    output_stride: int = 32,
) -> tuple[nn.Module, list[int]]:
    """A timm backbone without weights that returns one feature map for each chosen stage.

    Args:
        name: a model that timm knows.
        strides: image pixels to a cell that the chosen stages must have, finest first.
        stages: numbers of the chosen stages; 0 is the one of stride 2.
        in_channels: channels of the input, RGB first.
        output_stride: the largest stride; later stages use dilated convolutions instead of a larger one.

    Returns:
        The module, and the number of channels of each feature map.

    Raises:
        SaywhereError: timm does not know the name, or the stages have other strides.
    """
    # timm dilates no VGG, and counts its stages from the one of stride 1.
    is_vgg = name.startswith("vgg")
    indices, timm_stride = ([s + 1 for s in stages], 32) if is_vgg else (stages, output_stride)
    try:
        backbone: nn.Module = timm.create_model(
            name, features_only=True, out_indices=tuple(indices), in_chans=in_channels, output_stride=timm_stride
        )
    except RuntimeError as error:
        raise SaywhereError(f"backbone '{name}': timm does not know it; see timm.list_models()") from error
    info: Any = backbone.feature_info
    reductions = [min(reduction, output_stride) if is_vgg else reduction for reduction in info.reduction()]
    if reductions != list(strides):
        needed = ", ".join(map(str, strides))
        raise SaywhereError(f"backbone '{name}' has strides {reductions}: one with {needed} is needed")
    if is_vgg:
        limit_vgg_stride(backbone, output_stride)
    return backbone, list(info.channels())


def limit_vgg_stride(backbone: nn.Module, output_stride: int) -> None:
    """Dilate a VGG in place, as DeepLab does: poolings beyond a stride keep the size, convolutions after them spread.

    Args:
        backbone: its layers in their order.
        output_stride: the largest stride.
    """
    stride = dilation = 1
    for module in backbone.modules():
        if isinstance(module, nn.MaxPool2d):
            stride *= 2
            if stride > output_stride:
                module.kernel_size, module.stride, module.padding = 3, 1, 1
                dilation *= 2
        elif isinstance(module, nn.Conv2d) and dilation > 1:
            module.dilation, module.padding = (dilation, dilation), (dilation, dilation)


class ImageNetNormalisation(nn.Module):
    """RGB in [0, 1] to zero mean and unit variance over ImageNet. Weights files do not contain its buffers."""

    mean: Tensor
    std: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(IMAGENET_MEAN)[:, None, None], persistent=False)
        self.register_buffer("std", torch.tensor(IMAGENET_STD)[:, None, None], persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Normalise ``(B, 3, H, W)`` RGB in [0, 1]."""
        return (image - self.mean) / self.std


def pad_to_multiple(image: Tensor, multiple: int) -> Tensor:
    """Repeat the last row and column until both sides are multiples of a number of pixels.

    Args:
        image: ``(B, C, H, W)``.
        multiple: in pixels.

    Returns:
        ``(B, C, H', W')``; the image itself if both sides are multiples already.
    """
    height, width = image.shape[-2:]
    if height % multiple == 0 and width % multiple == 0:
        return image
    return F.pad(image, (0, -width % multiple, 0, -height % multiple), mode="replicate")
