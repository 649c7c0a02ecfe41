"""Multi-Stage Fusion (Majumder et al. 2020): one click, fused at the input and again near the end of the network."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from timm.layers.squeeze_excite import SEModule
from timm.models.resnet import BasicBlock
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.core import guidance
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import SaywhereError, needing
from saywhere.models.backbone import ImageNetNormalisation, create_backbone, pad_to_multiple
from saywhere.models.base import Features, InteractiveModel

FUSIONS = ("none", "early", "multi")
GRIDS = (1, 2, 3, 6)  # cells along each side of the pooling pyramid's levels, as in PSPNet
STRIDE = 8  # of the backbone's output
REDUCTION = 16  # r of squeeze-and-excitation
LIMIT = 255.0  # pixels at which a Euclidean map is truncated (Xu et al. 2016)
GUIDANCE: dict[str, tuple[dict[str, float], float]] = {
    "gaussian": ({"sigma": 10.0}, 1.0),
    "disk": ({"radius": 5.0}, 1.0),
    "euclidean": ({"limit": LIMIT}, LIMIT),
}
"""Parameters and maximum of each click map (section 3.3 and table 2)."""


class MultiStage(InteractiveModel):
    """A ResNet of stride 8, a pyramid scene parsing head, and a short branch that fuses the click late.

    A prompt is one positive click; the previous mask is not used.

    Args:
        backbone: a model of timm.
        fusion: the paper's ablation. "none" uses no click; with "early" the click map is a fourth input channel; with
            "multi" the late branch also processes image and click map, and the head takes its output and the encoder's
            (section 3.2).
        guidance: the kind of click map, a key of :data:`GUIDANCE`.
        channels: channels after the pyramid.
        late_channels: channels of the late branch.

    Raises:
        SaywhereError: an option is unknown.
    """

    max_clicks = 1
    negative_clicks = False
    drags = False

    def __init__(
        self,
        backbone: str = "resnet101",
        fusion: str = "multi",
        guidance: str = "gaussian",
        channels: int = 512,
        late_channels: int = 256,
    ) -> None:
        super().__init__()
        if fusion not in FUSIONS:
            raise SaywhereError(f"fusion '{fusion}': choose {', '.join(FUSIONS)}")
        if guidance not in GUIDANCE:
            raise SaywhereError(f"guidance '{guidance}': choose {', '.join(GUIDANCE)}")
        self.fusion, self.guidance = fusion, guidance
        inputs = 3 if fusion == "none" else 4
        self.encoder, (deep,) = create_backbone(backbone, (STRIDE,), (4,), inputs, STRIDE)
        self.normalise = ImageNetNormalisation()
        self.late = late_branch(inputs, late_channels) if fusion == "multi" else None
        self.head = PyramidHead(deep, channels, late_channels if fusion == "multi" else 0)

    def encode(self, image: Tensor) -> Features:
        """Only the image: the click enters at the first layer."""
        return Features((image.shape[-2], image.shape[-1]), {"image": (image,)})

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        (image,) = features.levels["image"]
        clicks = [single_positive_click(prompt) for prompt in prompts]
        inputs = self.normalise(image)
        if self.fusion != "none":
            parameters, maximum = GUIDANCE[self.guidance]
            drawn = [guidance.GUIDANCE[self.guidance](c, features.size, **parameters) / maximum for c in clicks]
            inputs = torch.cat([inputs, torch.from_numpy(np.stack(drawn))[:, None].to(inputs)], 1)
        h, w = features.size
        inputs = pad_to_multiple(inputs, STRIDE).contiguous(memory_format=torch.channels_last)
        (deep,) = self.encoder(inputs)
        logits = self.head(deep, None if self.late is None else self.late(inputs))
        logits = F.interpolate(logits, size=inputs.shape[-2:], mode="bilinear", align_corners=False)
        return logits[..., :h, :w].float()


class PyramidHead(nn.Module):
    """Pyramid scene parsing (PSPNet) of the encoder's features and, with late fusion, those of the late branch.

    Each level of the pyramid has a quarter of the encoder's channels.

    Args:
        deep: channels of the encoder's features.
        channels: channels after the pyramid.
        late: channels of the late branch; 0 without one.
    """

    def __init__(self, deep: int, channels: int, late: int) -> None:
        super().__init__()
        with needing("torch", "pyramid head"):
            from segmentation_models_pytorch.base.modules import Conv2dReLU
            from segmentation_models_pytorch.decoders.pspnet.decoder import PSPBlock
        self.pyramid = nn.ModuleList(PSPBlock(deep + late, deep // len(GRIDS), grid) for grid in GRIDS)
        self.join = Conv2dReLU(deep + late + len(GRIDS) * (deep // len(GRIDS)), channels, 1, use_norm="batchnorm")
        self.classify = nn.Conv2d(channels, 1, 1)

    def forward(self, deep: Tensor, late: Tensor | None) -> Tensor:
        """Logits ``(B, 1, h, w)`` from ``(B, deep, h, w)`` and ``(B, late, h, w)``."""
        # The late channels come last, so that weights of an early-fusion network fit the first channels of each layer.
        x = deep if late is None else torch.cat([deep, late], 1)
        levels = [block(x) for block in self.pyramid]
        return self.classify(self.join(torch.cat([deep, *levels, *([] if late is None else [late])], 1)))


def late_branch(inputs: int, channels: int) -> nn.Sequential:
    """The late branch (section 3.2, figure 3): the Init block and three SE-ResNet blocks, the last with stride 2.

    Args:
        inputs: channels of the input ``(B, inputs, H, W)``.
        channels: channels of the output ``(B, channels, H/8, W/8)``.
    """
    squeeze: Any = partial(SEModule, rd_ratio=1.0 / REDUCTION)
    downsample = nn.Sequential(nn.Conv2d(channels, channels, 1, 2, bias=False), nn.BatchNorm2d(channels))
    return nn.Sequential(
        nn.Conv2d(inputs, channels, 7, 2, 3, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2, 2),
        BasicBlock(channels, channels, attn_layer=squeeze),
        BasicBlock(channels, channels, attn_layer=squeeze),
        BasicBlock(channels, channels, 2, downsample, attn_layer=squeeze),
    )


def single_positive_click(prompt: Prompt) -> tuple[Click, ...]:
    """The clicks of a prompt: one positive click or none.

    Raises:
        SaywhereError: the prompt has a negative click or several clicks.
    """
    if all(click.positive for click in prompt.clicks) and len(prompt.clicks) < 2:
        return prompt.clicks
    clicks = f"{len(prompt.clicks)} clicks" if len(prompt.clicks) > 1 else "a negative click"
    raise SaywhereError(f"{clicks}: multistage takes one positive click; undo the others, or use another model")
