"""DeepLabv3+ (Chen et al. 2018) that sees a prompt beside the photograph: what PhraseClick and Text+Click share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.errors import SaywhereError, needing
from saywhere.models.base import Features, InteractiveModel

MULTIPLE = 16  # so that every level of the backbone has whole cells
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's, of RGB in [0, 1]
RATES = {16: (6, 12, 18), 8: (12, 24, 36)}  # of the ASPP, by output stride


class DeepLab(InteractiveModel):
    """Early fusion: ``encode`` only keeps the photograph, and every answer runs the whole network.

    The backbone (``encoder``) is timm's and takes ``extra`` channels after RGB; ASPP and decoder are those of
    segmentation-models-pytorch, ``channels`` wide; ``stride`` is the backbone's output stride.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, backbone: str, extra: int, channels: int, stride: int) -> None:
        super().__init__()
        if stride not in RATES:
            raise SaywhereError(f"stride {stride}: DeepLabv3+ takes {' or '.join(map(str, RATES))}")
        try:
            self.encoder: nn.Module = timm.create_model(
                backbone, features_only=True, out_indices=(1, 4), in_chans=3 + extra, output_stride=stride
            )
        except RuntimeError as error:
            raise SaywhereError(f"backbone '{backbone}': timm does not know it; see timm.list_models()") from error
        info: Any = self.encoder.feature_info
        if info.reduction() != [4, stride]:
            raise SaywhereError(f"backbone '{backbone}' has strides {info.reduction()}: 4 and {stride} are needed")
        fine, coarse = info.channels()
        self.decoder: Any = _decoder()(
            encoder_channels=[0, 0, fine, coarse], encoder_depth=5, out_channels=channels, atrous_rates=RATES[stride],
            output_stride=stride, aspp_separable=True, aspp_dropout=0.5,
        )  # fmt: skip
        self.head = nn.Conv2d(channels, 1, 1)
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None], persistent=False)
        self.register_buffer("deviation", torch.tensor(DEVIATION)[:, None, None], persistent=False)

    def encode(self, image: Tensor) -> Features:
        """The photograph itself; a model may add what it finds while answering, so that it is found once."""
        return Features((image.shape[-2], image.shape[-1]), {"image": (image,)})

    def look(self, image: Tensor, maps: Tensor) -> tuple[Tensor, Tensor]:
        """``(B, 3, H, W)`` RGB in [0, 1] and ``(B, extra, H, W)`` maps to the level of stride 4 and what ASPP makes
        of the last one."""
        seen = torch.cat([(image - self.mean) / self.deviation, maps.to(image)], 1)
        h, w = seen.shape[-2:]
        seen = F.pad(seen, (0, -w % MULTIPLE, 0, -h % MULTIPLE), mode="replicate")
        fine, coarse = self.encoder(seen.contiguous(memory_format=torch.channels_last))
        return fine, self.decoder.aspp(coarse)

    def finish(self, fine: Tensor, context: Tensor, size: tuple[int, int]) -> Tensor:
        """The levels that :meth:`look` gave to logits ``(B, 1, H, W)`` of an image of ``size``."""
        x = torch.cat([self.decoder.up(context), self.decoder.block1(fine)], 1)
        logits = self.head(self.decoder.block2(x))
        logits = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
        return logits[..., : size[0], : size[1]].float()


def _decoder() -> Callable[..., nn.Module]:
    with needing("papers", "DeepLabv3+"):
        from segmentation_models_pytorch.decoders.deeplabv3.decoder import DeepLabV3PlusDecoder
    return DeepLabV3PlusDecoder
