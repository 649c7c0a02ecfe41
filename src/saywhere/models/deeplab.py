"""DeepLabv3+ (Chen et al. 2018) with guidance maps as further input channels, for PhraseClick and Text+Click."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.errors import SaywhereError, needing
from saywhere.models.backbone import ImageNetNormalisation, create_backbone, pad_to_multiple
from saywhere.models.base import Features, InteractiveModel

MULTIPLE = 16  # of the padded image's sides, so that all levels of the backbone have whole cells
RATES = {16: (6, 12, 18), 8: (12, 24, 36)}  # of the ASPP, by output stride


class DeepLab(InteractiveModel):
    """DeepLabv3+ with early fusion: the whole network runs for each prompt, and ``encode`` only stores the image.

    ASPP and decoder are those of segmentation-models-pytorch.

    Args:
        backbone: a model of timm.
        extra: the number of guidance maps, channels after RGB.
        channels: channels of ASPP and decoder.
        stride: the output stride of the backbone, 8 or 16.

    Raises:
        SaywhereError: the backbone or the stride is unknown.
    """

    drags = False

    def __init__(self, backbone: str, extra: int, channels: int, stride: int) -> None:
        super().__init__()
        if stride not in RATES:
            raise SaywhereError(f"stride {stride}: DeepLabv3+ takes {' or '.join(map(str, RATES))}")
        self.encoder, (fine, coarse) = create_backbone(backbone, (4, stride), (1, 4), 3 + extra, stride)
        self.normalise = ImageNetNormalisation()
        self.decoder: Any = _decoder()(
            encoder_channels=[0, 0, fine, coarse], encoder_depth=5, out_channels=channels, atrous_rates=RATES[stride],
            output_stride=stride, aspp_separable=True, aspp_dropout=0.5,
        )  # fmt: skip
        self.head = nn.Conv2d(channels, 1, 1)

    def encode(self, image: Tensor) -> Features:
        """Only the image. ``decode`` of a subclass may store what depends on the image alone in ``cache``."""
        return Features((image.shape[-2], image.shape[-1]), {"image": (image,)})

    def fuse_early(self, image: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """Run backbone and ASPP.

        Args:
            image: ``(B, 3, H, W)`` RGB in [0, 1].
            maps: ``(B, extra, H, W)`` guidance maps.

        Returns:
            The backbone's features of stride 4, and the output of ASPP.
        """
        inputs = pad_to_multiple(torch.cat([self.normalise(image), maps.to(image)], 1), MULTIPLE)
        fine, coarse = self.encoder(inputs.contiguous(memory_format=torch.channels_last))
        return fine, self.decoder.aspp(coarse)

    def predict(self, fine: Tensor, context: Tensor, size: tuple[int, int]) -> Tensor:
        """Run decoder and head.

        Args:
            fine: the features of stride 4 that :meth:`fuse_early` returned.
            context: ASPP's output, with attention or without.
            size: height and width of the image.

        Returns:
            ``(B, 1, H, W)`` logits.
        """
        x = torch.cat([self.decoder.up(context), self.decoder.block1(fine)], 1)
        logits = self.head(self.decoder.block2(x))
        logits = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
        return logits[..., : size[0], : size[1]].float()


def _decoder() -> Callable[..., nn.Module]:
    with needing("torch", "DeepLabv3+"):
        from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
    return DeepLabV3PlusDecoder
