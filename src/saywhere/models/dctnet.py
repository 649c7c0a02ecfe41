"""DCT-Net (Lin et al. 2021): guidance maps with a radius for each click; clicked features modulate the decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.core import guidance
from saywhere.core.prompt import Prompt
from saywhere.errors import needing
from saywhere.models.backbone import ImageNetNormalisation, create_backbone, pad_to_multiple
from saywhere.models.base import Features, InteractiveModel
from saywhere.models.layers.clicks import AutoDragHead, ClickTensors, aggregate, sample_at_clicks
from saywhere.models.targets import PhraseSupervision
from saywhere.text.words import Words

STRIDES = (4, 8, 16, 32)  # of the backbone's last four stages
LIMIT = 255.0  # pixels at which the baseline's Euclidean maps are truncated
AUTO_DRAG_WEIGHT = 0.3  # of the Auto-Drag-Head's loss


class DCTNet(InteractiveModel):
    """A U-Net with spatial pyramid pooling after the encoder; its input is RGB and two click maps.

    The paper does not specify three parts. The decoder here is that of a U-Net with one convolution for each level
    from stride 16 to 4. The clicked features are those of strides 8, 16 and 32, each normalised to length 1. The
    lightweight network that predicts drag distances is :class:`AutoDragHead`. The previous mask is not used.

    Args:
        backbone: a model of timm.
        spatial: whether click maps are Gaussians with each click's own radius (Spatial-DCT, equation 2), which is
            predicted for clicks that were not dragged; else they are distances (equation 1).
        feature: whether the features under the clicks determine means and variances of the decoder's three instance
            norms (Feature-DCT, equation 3); else these are parameters.
        channels: channels of the decoder.
        hidden: channels of the hidden layers that predict radii, means and variances.
    """

    def __init__(
        self,
        backbone: str = "resnet50",
        spatial: bool = True,
        feature: bool = True,
        channels: int = 256,
        hidden: int = 256,
    ) -> None:
        super().__init__()
        self.drags = spatial
        self.encoder, widths = create_backbone(backbone, STRIDES, (1, 2, 3, 4), in_channels=5)
        self.normalise = ImageNetNormalisation()
        self.pyramid = pyramid(widths[3])
        self.shrink = nn.Conv2d(2 * widths[3], channels, 1)
        self.up = nn.ModuleList(nn.Conv2d(channels + w, channels, 3, padding=1) for w in reversed(widths[:3]))
        self.norms = nn.ModuleList(nn.InstanceNorm2d(channels, affine=not feature) for _ in self.up)
        self.head = nn.Conv2d(channels, 1, 1)
        self.film = (
            nn.Sequential(nn.Linear(sum(widths[1:]), hidden), nn.ReLU(), nn.Linear(hidden, 2 * 3 * channels))
            if feature
            else None
        )
        self.auto_drag = AutoDragHead(hidden) if spatial else None

    def encode(self, image: Tensor) -> Features:
        """The image and its features in the Auto-Drag-Head: the encoder needs the clicks and runs in :meth:`decode`."""
        levels: dict[str, tuple[Tensor, ...]] = {"image": (image,)}
        if self.auto_drag is not None:
            levels["drag"] = (self.auto_drag.encode(self.normalise(image)),)
        return Features((image.shape[-2], image.shape[-1]), levels)

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        (image,) = features.levels["image"]
        inputs = torch.cat([self.normalise(image), self._maps(features, prompts).to(image)], 1)
        h, w = features.size
        inputs = pad_to_multiple(inputs, STRIDES[-1])
        fine, *levels = self.encoder(inputs.contiguous(memory_format=torch.channels_last))
        x = self.shrink(self.pyramid(levels[-1]))
        means, scales = self._norm_statistics(levels, prompts)
        for i, (layer, norm, skip) in enumerate(zip(self.up, self.norms, (levels[1], levels[0], fine), strict=True)):
            x = F.interpolate(x, size=skip.shape[-2:], mode="bilinear", align_corners=False)
            x = norm(layer(torch.cat([x, skip], 1)))
            if means is not None and scales is not None:
                x = x * scales[:, i, :, None, None] + means[:, i, :, None, None]
            x = F.relu(x)
        logits = F.interpolate(self.head(x), scale_factor=4, mode="bilinear", align_corners=False)
        return logits[..., :h, :w].float()

    def auxiliary_loss(
        self, features: Features, prompts: list[Prompt], supervision: Sequence[PhraseSupervision], labels: Words
    ) -> Tensor:
        """The loss of predicted radii on clicks that were dragged."""
        if self.auto_drag is None:
            return features.levels["image"][0].new_zeros(())
        return AUTO_DRAG_WEIGHT * self.auto_drag.loss(features.levels["drag"][0], prompts)

    def _maps(self, features: Features, prompts: list[Prompt]) -> Tensor:
        """The two click maps in [0, 1]: ``(B, 2, H, W)``."""
        if self.auto_drag is None:
            drawn = [guidance.maps(p, features.size, "euclidean", limit=LIMIT) / LIMIT for p in prompts]
        else:
            with_radii = self.auto_drag.predict_radii(features.levels["drag"][0], prompts)
            drawn = [guidance.maps(p, features.size, "dynamic") for p in with_radii]
        return torch.from_numpy(np.stack(drawn).astype(np.float32))

    def _norm_statistics(self, levels: list[Tensor], prompts: list[Prompt]) -> tuple[Tensor | None, Tensor | None]:
        """Means and standard deviations for the decoder's norms, ``(B, 3, C)`` each; None without Feature-DCT."""
        if self.film is None:
            return None, None
        clicked = [
            F.normalize(sample_at_clicks(x, prompts, s), dim=-1) for x, s in zip(levels, (8, 16, 32), strict=True)
        ]
        vectors = torch.cat(clicked, -1) / len(clicked) ** 0.5
        labels = ClickTensors.from_prompts(prompts, vectors.device).labels
        predicted = self.film(aggregate(vectors, labels)).unflatten(-1, (2, len(self.up), -1))
        # The network predicts the logarithm of a variance, so that the variance is positive.
        return predicted[:, 0], torch.exp(0.5 * predicted[:, 1].clamp(-6.0, 6.0))


def pyramid(channels: int) -> nn.Module:
    """Spatial pyramid pooling as in PSPNet; it doubles the number of channels."""
    with needing("torch", "DCT-Net"):
        from segmentation_models_pytorch.decoders.pspnet.decoder import PSPModule
    return PSPModule(channels)
