"""MaskCLIP (Zhou et al. 2022): relevance maps from a CLIP, as in Text+Click.

Nothing is trained. CLIP pools its last layer by attention. Without the pooling each cell of the image has its own value
vector in CLIP's embedding space, and the relevance of a phrase is its cosine similarity to the phrase's text embedding.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.errors import SaywhereError, needing
from saywhere.models.base import Features

SIDE = 512  # shorter side, in pixels, at which images are encoded, as in MaskCLIP's experiments


class MaskClip:
    """A frozen CLIP of open_clip that computes relevance maps.

    Args:
        clip: a CLIP whose image encoder is open_clip's ResNet or ViT.
        tokenise: its tokeniser.
        side: shorter side, in pixels, at which images are encoded.
        templates: turn a phrase into sentences, whose embeddings are averaged; None: open_clip's 80 of ImageNet.
        residual: whether a ViT's last block has its residual connection and MLP, as in MaskCLIP's published code,
            or only its value path.

    Raises:
        SaywhereError: the image encoder is neither a ResNet nor a ViT of open_clip.
    """

    def __init__(
        self, clip: nn.Module, tokenise: Callable[[list[str]], Tensor], side: int = SIDE,
        templates: Sequence[Callable[[str], str]] | None = None, residual: bool = True,
    ) -> None:  # fmt: skip
        from open_clip.modified_resnet import ModifiedResNet
        from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
        from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

        self.clip: Any = clip.eval().requires_grad_(False)
        self.tokenise, self.side, self.residual = tokenise, side, residual
        self.templates = OPENAI_IMAGENET_TEMPLATES if templates is None else templates
        self._embeddings: dict[str, Tensor] = {}
        visual: Any = self.clip.visual
        if isinstance(visual, ModifiedResNet):
            self.dense: Callable[[Tensor], Tensor] = self._dense_resnet
            self.multiple = 32
        elif isinstance(visual, VisionTransformer) and isinstance(
            visual.transformer.resblocks[-1], ResidualAttentionBlock
        ):
            self.dense = self._dense_vit
            self.multiple = int(visual.patch_size[0])
        else:
            raise SaywhereError(f"CLIP with a {type(visual).__name__}: MaskCLIP takes open_clip's ResNets and ViTs")
        mean, deviation = _statistics(visual)
        self.mean, self.deviation = torch.tensor(mean)[:, None, None], torch.tensor(deviation)[:, None, None]

    @torch.no_grad()
    def encode(self, image: Tensor) -> Features:
        """Compute the value vectors of each cell, ``(B, D, h, w)`` of length 1, from ``(B, 3, H, W)`` RGB in [0, 1]."""
        self.clip.to(image.device)
        h, w = image.shape[-2:]
        scale = self.side / min(h, w)
        size = [max(round(length * scale / self.multiple), 1) * self.multiple for length in (h, w)]
        image = F.interpolate(image.float(), size, mode="bilinear", align_corners=False, antialias=True)
        values = self.dense((image - self.mean.to(image)) / self.deviation.to(image))
        return Features((h, w), {"values": (F.normalize(values, dim=1),)})

    @torch.no_grad()
    def relevance(self, features: Features, phrase: str) -> Tensor:
        """The cosine similarity of each pixel to a phrase, ``(1, 1, H, W)``."""
        (values,) = features.levels["values"]
        cosine = torch.einsum("bdhw,d->bhw", values, self.embed_phrase(phrase).to(values))[:, None]
        return F.interpolate(cosine, features.size, mode="bilinear", align_corners=False)

    @torch.no_grad()
    def embed_phrase(self, phrase: str) -> Tensor:
        """The mean ``(D,)`` of the phrase's text embeddings in all templates, of length 1."""
        if phrase not in self._embeddings:
            tokens = self.tokenise([template(phrase) for template in self.templates])
            vectors = F.normalize(self.clip.encode_text(tokens.to(self.clip.logit_scale.device)), dim=-1)
            self._embeddings[phrase] = F.normalize(vectors.mean(0), dim=0)
        return self._embeddings[phrase]

    def _dense_resnet(self, image: Tensor) -> Tensor:
        """Value vectors ``(B, D, h, w)`` of a ResNet.

        The attention pool's value and output projections become 1x1 convolutions; its position embedding is not used.
        """
        visual = self.clip.visual
        x = visual.stem(image)
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = layer(x)
        for projection in (visual.attnpool.v_proj, visual.attnpool.c_proj):
            x = F.conv2d(x, projection.weight[:, :, None, None], projection.bias)
        return x

    def _dense_vit(self, image: Tensor) -> Tensor:
        """Value vectors ``(B, D, h, w)`` of a ViT.

        In the last block each token attends to itself only. The position embedding is interpolated to the image's grid.
        """
        visual = self.clip.visual
        x = visual.conv1(image)
        b, width, h, w = x.shape
        class_token = visual.class_embedding.expand(b, 1, width)
        x = torch.cat([class_token, x.flatten(2).transpose(1, 2)], 1) + _position_embedding(visual, h, w)
        x = visual.ln_pre(x)
        *blocks, last = visual.transformer.resblocks
        for block in blocks:
            x = block(x)
        attention = last.attn
        weight, bias = attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
        value = attention.out_proj(F.linear(last.ln_1(x), weight, bias))
        if self.residual:
            value = x + last.ls_1(value)
            value = value + last.ls_2(last.mlp(last.ln_2(value)))
        values = visual.ln_post(value[:, 1:]) @ visual.proj
        return values.transpose(1, 2).reshape(b, -1, h, w)


def _position_embedding(visual: Any, h: int, w: int) -> Tensor:
    """A ViT's learned position embedding ``(1 + h * w, C)``, interpolated to a grid of h rows and w columns."""
    learned = visual.positional_embedding
    rows, columns = visual.grid_size
    if (rows, columns) == (h, w):
        return learned
    grid = learned[1:].T.reshape(1, -1, rows, columns)
    grid = F.interpolate(grid, (h, w), mode="bicubic", align_corners=False)
    return torch.cat([learned[:1], grid[0].flatten(1).T])


def _statistics(visual: Any) -> tuple[Sequence[float], Sequence[float]]:
    """Mean and standard deviation by which a CLIP normalises RGB."""
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean, deviation = getattr(visual, "image_mean", None), getattr(visual, "image_std", None)
    return mean or OPENAI_DATASET_MEAN, deviation or OPENAI_DATASET_STD


def load_maskclip(name: str = "RN50", weights: str = "openai") -> MaskClip:
    """Load a CLIP of open_clip as a :class:`MaskClip`.

    Args:
        name: one of ``open_clip.list_models()``. For a file of an OpenAI CLIP it is the ``-quickgelu`` variant.
        weights: a name that open_clip has for this model, which is then downloaded; or a safetensors file.

    Raises:
        SaywhereError: open_clip is not installed, does not know the model, or the weights are not available.
    """
    with needing("torch", "a relevance map from CLIP"):
        import open_clip
    if name not in open_clip.list_models():
        raise SaywhereError(f"CLIP '{name}': open_clip does not know it; see open_clip.list_models()")
    tags = open_clip.list_pretrained_tags_by_model(name)
    # Other files could contain pickles.
    local = weights.endswith(".safetensors")
    if local and not Path(weights).is_file():
        raise SaywhereError(f"CLIP weights '{weights}': no such file; give a safetensors file of {name}")
    if not local and weights not in tags:
        raise SaywhereError(
            f"CLIP weights '{weights}': open_clip has none of that name for {name}; "
            f"give one of {', '.join(tags)}, or a safetensors file"
        )
    try:
        clip = open_clip.create_model(name, pretrained=weights)
    except Exception as error:  # open_clip passes on all errors of hubs, connections and files
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        hint = "" if local else _download_hint(name, weights)
        raise SaywhereError(
            f"CLIP weights '{weights}' of {name}: not available ({reason}){hint}; clicks work without them"
        ) from error
    return MaskClip(clip, open_clip.get_tokenizer(name))


def _download_hint(name: str, weights: str) -> str:
    """The part of an error message that says where to download weights by hand."""
    import open_clip

    config = open_clip.get_pretrained_cfg(name, weights)
    repository = str(config.get("hf_hub") or "").strip("/")
    url = f"https://huggingface.co/{repository}" if repository else config.get("url", "")
    return f"; download open_clip_model.safetensors from {url} and give its path as the option relevance.weights"
