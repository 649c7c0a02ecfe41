"""Sequential Interactive Image Segmentation (Lin et al.): encoder, purification layer, mini encoder and mini ASPP."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP

from saywhere.core import guidance
from saywhere.core.prompt import Prompt
from saywhere.models.backbone import ImageNetNormalisation, create_backbone, pad_to_multiple
from saywhere.models.base import Features, PurifyingModel
from saywhere.models.layers.convolutions import conv

STRIDE = 16  # of the backbone's output
RATES = [6, 12, 18]  # of the ASPP: DeepLabv3's at output stride 16
SIGMA = 10.0  # standard deviation of the Gaussian maps, in pixels, which the paper does not give


class Sequential(PurifyingModel):
    """The paper's modified DeepLabv3+ (section 3.1, figure 2).

    A 1x1 convolution purifies the features of each of the backbone's last four stages (R_1 to R_4). The mini encoder
    combines them with two Gaussian maps of the clicks (equation 1, E_1 to E_4). The mini ASPP reduces E_4 to a quarter
    of its channels, and a head computes the mask from its output and E_1. With a ResNet-101 the number of parameters is
    that of the paper: 45.743 million, 0.697 million of them in the purification layer. As in the paper, the previous
    mask is not used.

    Args:
        backbone: a model of timm.
        widths: channels of R_1 to R_4; None: an eighth of the backbone's, as in the paper.
    """

    drags = False
    strides = (4, 8, 16, 16)

    def __init__(self, backbone: str = "resnet101", widths: tuple[int, int, int, int] | None = None) -> None:
        super().__init__()
        self.encoder, channels = create_backbone(backbone, self.strides, (1, 2, 3, 4), output_stride=STRIDE)
        self.normalise = ImageNetNormalisation()
        w = widths or tuple(c // 8 for c in channels)
        self.purification = nn.ModuleList(nn.Sequential(*conv(c, r, 1)) for c, r in zip(channels, w, strict=True))
        previous = (2, *w[:3])
        self.mini = nn.ModuleList(
            nn.Sequential(*conv(r + e, r, 3), *conv(r, r, 3)) for r, e in zip(w, previous, strict=True)
        )
        narrow = w[3] // 4
        self.aspp = ASPP(w[3], RATES, narrow)
        self.head = nn.Sequential(*conv(narrow + w[0], narrow, 3), *conv(narrow, narrow, 3), nn.Conv2d(narrow, 1, 1))

    def encode(self, image: Tensor) -> Features:
        h, w = image.shape[-2:]
        padded = pad_to_multiple(self.normalise(image), STRIDE)
        levels = self.encoder(padded.contiguous(memory_format=torch.channels_last))
        return self.purify(Features((h, w), {"raw": tuple(levels)}))

    def purify(self, raw: Features) -> Features:
        """Compute R_1 to R_4, the level "pure"; see :meth:`PurifyingModel.purify`."""
        levels = raw.levels["raw"]
        pure = tuple(layer(level) for layer, level in zip(self.purification, levels, strict=True))
        return Features(raw.size, {**raw.levels, "pure": pure})

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        pure = features.levels["pure"]
        encoded = [self._maps(prompts, pure[0])]
        for convolve, level in zip(self.mini, pure, strict=True):
            encoded.append(equation_1(convolve, level, encoded[-1]))
        context = F.interpolate(self.aspp(encoded[4]), size=encoded[1].shape[-2:], mode="bilinear", align_corners=False)
        logits = self.head(torch.cat([context, encoded[1]], 1))
        logits = F.interpolate(logits, scale_factor=4, mode="bilinear", align_corners=False)
        return logits[..., : features.size[0], : features.size[1]].float()

    def _maps(self, prompts: list[Prompt], like: Tensor) -> Tensor:
        """The click maps E_0 ``(B, 2, H/4, W/4)``, drawn at the resolution of R_1."""
        shape = like.shape[-2], like.shape[-1]
        drawn = np.stack([guidance.maps(prompt, shape, "gaussian", self.strides[0], sigma=SIGMA) for prompt in prompts])
        return torch.from_numpy(drawn).to(like)


def equation_1(convolve: nn.Module, level: Tensor, previous: Tensor) -> Tensor:
    """``E_i = C(R_i + D(E_{i-1}))``, where + concatenates channels.

    Args:
        convolve: C.
        level: R_i, ``(B, C, h, w)``.
        previous: E_{i-1}; D averages it over the cells of R_i.
    """
    return convolve(torch.cat([level, F.adaptive_avg_pool2d(previous, (level.shape[-2], level.shape[-1]))], 1))
