"""Semantic features of a vision transformer, with a path of their own to the masks."""

from __future__ import annotations

from typing import Any

import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.core.image_tokens import PATCH, STRIDE
from saywhere.errors import SaywhereError
from saywhere.models.backbone import ImageNetNormalisation
from saywhere.models.layers.attention import run_blocks, transformer_blocks
from saywhere.models.layers.clicks import ClickTensors, similarity

HEAD_CHANNELS = 64  # of each attention head; half as many take 1.6 times as long on a processor


class TokenEncoder(nn.Module):
    """A vision transformer of timm, whose patch tokens are features of a whole image.

    It is not trained. Position embeddings are interpolated bilinearly, because timm's own interpolation (bicubic, with
    anti-aliasing) cannot be exported to ONNX.

    Args:
        name: a model of timm with patches of 14 pixels, for example "vit_small_patch14_dinov2".

    Raises:
        SaywhereError: timm does not know the name, or its patches have another size.
    """

    def __init__(self, name: str) -> None:
        super().__init__()
        try:
            vit: Any = timm.create_model(name, num_classes=0, dynamic_img_size=True)
        except RuntimeError as error:
            raise SaywhereError(f"tokens '{name}': timm does not know it; see timm.list_models('vit*')") from error
        patch = getattr(getattr(vit, "patch_embed", None), "patch_size", None)
        if patch != (PATCH, PATCH) or vit.num_prefix_tokens != 1:
            raise SaywhereError(f"tokens '{name}': one with patches of {PATCH} pixels and a class token is needed")
        self.channels: int = vit.embed_dim
        self.patches = vit.patch_embed.proj
        self.class_token, self.positions = vit.cls_token, vit.pos_embed
        self.side = round((vit.pos_embed.shape[1] - 1) ** 0.5)
        self.blocks, self.norm = vit.blocks, vit.norm
        self.normalisation = ImageNetNormalisation()
        self.requires_grad_(False)

    def load_timm(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The state of this module from that of timm's model."""
        names = {"patch_embed.proj.": "patches.", "cls_token": "class_token", "pos_embed": "positions"}
        renamed = {}
        for name, tensor in state.items():
            old = next((prefix for prefix in names if name.startswith(prefix)), "")
            renamed[names.get(old, "") + name.removeprefix(old)] = tensor.float()
        return renamed

    def forward(self, image: Tensor) -> Tensor:
        """Compute the tokens.

        Args:
            image: ``(B, 3, 14 h, 14 w)`` in [0, 1], see :func:`saywhere.core.image_tokens.image_for_tokens`.

        Returns:
            ``(B, C, h, w)``.
        """
        cells = self.patches(self.normalisation(image))
        batch, channels, height, width = cells.shape
        grid = self.positions[:, 1:].transpose(1, 2).unflatten(2, (self.side, self.side))
        places = F.interpolate(grid, size=(height, width), mode="bilinear", align_corners=False)
        first = (self.class_token + self.positions[:, :1]).expand(batch, -1, -1).to(cells.dtype)
        x = torch.cat([first, (cells + places.to(cells.dtype)).flatten(2).transpose(1, 2)], 1)
        for block in self.blocks:
            x = block(x)
        return self.norm(x)[:, 1:].transpose(1, 2).reshape(batch, channels, height, width)


class TokenDecoder(nn.Module):
    """Decides from tokens and the prompt where the object is, coarsely.

    What it adds to the network's features and logits is 0 at first, so that adding it to a trained network does not
    change its masks.

    Args:
        channels: of the tokens.
        guidance: channels of the prompt's guidance maps.
        relevance: sources of the relevance map.
        middle: channels of the network's features at stride 16, to which one output is added.
        deep: the same at stride 32.
        candidates: number of masks.
        blocks: number of transformer blocks.
        width: channels of these, a multiple of :data:`HEAD_CHANNELS`.

    Raises:
        SaywhereError: there are no blocks, or ``width`` is no such multiple.
    """

    def __init__(
        self, channels: int, guidance: int, relevance: int, middle: int, deep: int, candidates: int, blocks: int = 2,
        width: int = 128,
    ) -> None:  # fmt: skip
        super().__init__()
        if blocks < 1 or width < HEAD_CHANNELS or width % HEAD_CHANNELS:
            raise SaywhereError(
                f"token decoder of {blocks} blocks and {width} channels: give at least one block, and a multiple of "
                f"{HEAD_CHANNELS} channels"
            )
        self.enter = nn.Conv2d(channels, width, 1)
        self.prompt = nn.Conv2d(2 * guidance + 2 + relevance, width, 3, padding=1)
        self.entered = nn.LayerNorm(width)
        self.places, self.blocks = transformer_blocks(width, blocks, HEAD_CHANNELS)
        self.norm = nn.LayerNorm(width)
        self.to_middle = nn.Conv2d(width, middle, 1)
        self.to_deep = nn.Conv2d(width, deep, 1)
        self.to_logits = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(width, 16 * candidates, 1)
        )
        # The candidates of the two may be in another order, so each is added to each.
        self.mix = nn.Conv2d(candidates, candidates, 1, bias=False)
        for layer in (self.to_middle, self.to_deep, self.mix):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def embed(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """What does not depend on the prompt.

        Args:
            tokens: ``(B, C, h, w)``.

        Returns:
            ``(B, width, h, w)`` for :meth:`forward`, and the tokens as vectors of length 1 for the comparison with
            clicked ones.
        """
        return self.enter(tokens), F.normalize(tokens, dim=1)

    def forward(
        self, embedded: Tensor, keys: Tensor, clicks: ClickTensors, guidance: Tensor, relevance: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute what is added to the network's features and logits.

        Args:
            embedded: what :meth:`embed` returned.
            keys: the same.
            clicks: one prompt for each image.
            guidance: ``(B, G, 4h, 4w)``, the guidance maps at stride 4.
            relevance: ``(B, S, 2h, 2w)`` in [-1, 1].

        Returns:
            ``(B, middle, h, w)``, ``(B, deep, h/2, w/2)`` and logits ``(B, n, 4h, 4w)``, the masks of tokens alone; of
            these :attr:`mix` makes what is added to the network's.
        """
        compared = similarity(keys, clicks.points, clicks.labels, STRIDE)
        parts = [F.avg_pool2d(guidance, 4), F.max_pool2d(guidance, 4), compared]
        if relevance.shape[1]:
            parts.append(F.avg_pool2d(relevance, 2))
        x = embedded + self.prompt(torch.cat([part.to(embedded.dtype) for part in parts], 1))
        x = run_blocks(x, self.entered, self.places, self.blocks, self.norm)
        return self.to_middle(x), self.to_deep(F.avg_pool2d(x, 2)), F.pixel_shuffle(self.to_logits(x), 4)
