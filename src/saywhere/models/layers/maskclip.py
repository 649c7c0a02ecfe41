"""Where in a photograph a phrase applies, from a CLIP: MaskCLIP (Zhou et al. 2022), as Text+Click uses it.

Nothing is trained. CLIP pools its last layer with attention; without it, every place keeps its own value, in the
space of the words. A phrase then is one product with the features of all places.
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

SIDE = 512  # pixels of the shorter side at which CLIP looks, as in MaskCLIP's experiments


class MaskClip:
    """A CLIP of open_clip's with its tokeniser, frozen.

    ``templates`` turn a phrase into sentences, whose vectors are averaged; open_clip's 80 of ImageNet when None. A
    ViT's last block keeps its residual and its MLP, as MaskCLIP's published code does; with ``residual`` False its
    value path stands alone. The photograph is looked at with a shorter side of ``side`` pixels.
    """

    def __init__(
        self, clip: nn.Module, tokenise: Callable[[list[str]], Tensor], side: int = SIDE,
        templates: Sequence[Callable[[str], str]] | None = None, residual: bool = True,
    ) -> None:  # fmt: skip
        """Raises SaywhereError when the CLIP's picture side is neither a ResNet nor a ViT of open_clip's."""
        from open_clip.modified_resnet import ModifiedResNet
        from open_clip.transformer import ResidualAttentionBlock, VisionTransformer
        from open_clip.zero_shot_metadata import OPENAI_IMAGENET_TEMPLATES

        self.clip: Any = clip.eval().requires_grad_(False)
        self.tokenise, self.side, self.residual = tokenise, side, residual
        self.templates = OPENAI_IMAGENET_TEMPLATES if templates is None else templates
        self.said: dict[str, Tensor] = {}
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
        """``(B, 3, H, W)`` RGB in [0, 1] to unit vectors of places ``(B, D, h, w)``."""
        self.clip.to(image.device)
        h, w = image.shape[-2:]
        scale = self.side / min(h, w)
        size = [max(round(length * scale / self.multiple), 1) * self.multiple for length in (h, w)]
        image = F.interpolate(image.float(), size, mode="bilinear", align_corners=False, antialias=True)
        seen = self.dense((image - self.mean.to(image)) / self.deviation.to(image))
        return Features((h, w), {"places": (F.normalize(seen, dim=1),)})

    @torch.no_grad()
    def relevance(self, features: Features, phrase: str) -> Tensor:
        """The cosine of every place with a phrase, ``(1, 1, H, W)``."""
        (places,) = features.levels["places"]
        cosine = torch.einsum("bdhw,d->bhw", places, self.vector(phrase).to(places))[:, None]
        return F.interpolate(cosine, features.size, mode="bilinear", align_corners=False)

    @torch.no_grad()
    def vector(self, phrase: str) -> Tensor:
        """The mean of the phrase's unit vectors in all templates, of length 1: ``(D,)``."""
        if phrase not in self.said:
            tokens = self.tokenise([template(phrase) for template in self.templates])
            vectors = F.normalize(self.clip.encode_text(tokens.to(self.clip.logit_scale.device)), dim=-1)
            self.said[phrase] = F.normalize(vectors.mean(0), dim=0)
        return self.said[phrase]

    def _dense_resnet(self, image: Tensor) -> Tensor:
        """The attention pool's value and output projections as 1x1 convolutions; its positions are left out."""
        visual = self.clip.visual
        x = visual.stem(image)
        for layer in (visual.layer1, visual.layer2, visual.layer3, visual.layer4):
            x = layer(x)
        for projection in (visual.attnpool.v_proj, visual.attnpool.c_proj):
            x = F.conv2d(x, projection.weight[:, :, None, None], projection.bias)
        return x

    def _dense_vit(self, image: Tensor) -> Tensor:
        """The last block with every token attending only to itself; positions are resize_like to the picture's grid."""
        visual = self.clip.visual
        x = visual.conv1(image)
        b, width, h, w = x.shape
        own = visual.class_embedding.expand(b, 1, width)
        x = torch.cat([own, x.flatten(2).transpose(1, 2)], 1) + _positions(visual, h, w)
        x = visual.ln_pre(x)
        *before, last = visual.transformer.resblocks
        for block in before:
            x = block(x)
        attention = last.attn
        weight, bias = attention.in_proj_weight[2 * width :], attention.in_proj_bias[2 * width :]
        value = attention.out_proj(F.linear(last.ln_1(x), weight, bias))
        if self.residual:
            value = x + last.ls_1(value)
            value = value + last.ls_2(last.mlp(last.ln_2(value)))
        places = visual.ln_post(value[:, 1:]) @ visual.proj
        return places.transpose(1, 2).reshape(b, -1, h, w)


def _positions(visual: Any, h: int, w: int) -> Tensor:
    """A ViT's learned positions ``(1 + h * w, C)`` for a grid of another size than it was trained with."""
    learned = visual.positional_embedding
    rows, columns = visual.grid_size
    if (rows, columns) == (h, w):
        return learned
    grid = learned[1:].T.reshape(1, -1, rows, columns)
    grid = F.interpolate(grid, (h, w), mode="bicubic", align_corners=False)
    return torch.cat([learned[:1], grid[0].flatten(1).T])


def _statistics(visual: Any) -> tuple[Sequence[float], Sequence[float]]:
    from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD

    mean, deviation = getattr(visual, "image_mean", None), getattr(visual, "image_std", None)
    return mean or OPENAI_DATASET_MEAN, deviation or OPENAI_DATASET_STD


def load_maskclip(name: str = "RN50", weights: str = "openai") -> MaskClip:
    """A MaskClip of an open_clip model (``open_clip.list_models()``) and its weights.

    ``weights`` is a name that open_clip knows for this model, which its hub serves, or a safetensors file of it; the
    file of an OpenAI CLIP belongs to the model's ``-quickgelu`` variant. Raises SaywhereError, saying what is missing
    and how to give it.
    """
    with needing("torch", "a relevance from CLIP"):
        import open_clip
    if name not in open_clip.list_models():
        raise SaywhereError(f"CLIP '{name}': open_clip does not know it; see open_clip.list_models()")
    tags = open_clip.list_pretrained_tags_by_model(name)
    # Only safetensors: nothing is ever unpickled.
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
    except Exception as error:  # what hubs, connections and files fail with, through open_clip
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        served = "" if local else _served(name, weights)
        raise SaywhereError(
            f"CLIP weights '{weights}' of {name}: cannot be had ({reason}){served}; clicks work without them"
        ) from error
    return MaskClip(clip, open_clip.get_tokenizer(name))


def _served(name: str, weights: str) -> str:
    """Where a file is that could not be downloaded, and what to do with it."""
    import open_clip

    known = open_clip.get_pretrained_cfg(name, weights)
    repository = str(known.get("hf_hub") or "").strip("/")
    where = f"https://huggingface.co/{repository}" if repository else known.get("url", "")
    return f"; download open_clip_model.safetensors from {where} and give its path as the option relevance.weights"
