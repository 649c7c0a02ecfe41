"""Our network: features once per image, guidance at every stage of a small decoder.

The split into features, purification and mini encoder follows Sequential Interactive Image Segmentation
(section 3.1, equation 1); a radius for each click is DCT-Net's Spatial-DCT (equation 2); guidance that meets
the features at every scale instead of only at the input is the lesson of Multi-Stage Fusion. A phrase acts in two
places: as a map of where it applies beside the clicks (Text+Click), and as attention over channels (PhraseClick,
equations 2 to 5).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP

from saywhere import guidance
from saywhere.errors import NoMapError, SaywhereError
from saywhere.language.reader import AttributeAttention, PhraseReader, Spoken
from saywhere.language.saliency import ClassifierSaliency, LearnedSaliency
from saywhere.language.words import Words, find_words
from saywhere.models.base import Features, PurifyingModel, Scene
from saywhere.prompt import Click, Prompt

MULTIPLE = 32  # the coarsest level's stride
CLICK_SIGMA = 6.0  # pixels of the encoded image: about what a hand's aim is worth
SALIENCIES = ("learned", "classifier")
NAMING = 0.3  # weight of telling labels from each other against the loss of the map


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


def upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class Saywhere(PurifyingModel):
    """Its features hold the backbone's ``raw`` levels, the ``pure`` ones, the ``keys`` that clicks are compared in and
    the ``spoken_of`` maps that phrases are compared with.

    ``widths`` are the channels of the purified levels at strides 4, 8, 16 and 32; ``key`` is the length of the
    vectors in which a clicked pixel is compared with all others; 0 leaves that comparison out. ``saliency`` names the
    sources of the map of where a phrase applies (:data:`SALIENCIES`), ``attention`` lets it weigh channels; without
    either, phrases are not understood. ``words`` is a word2vec or GloVe file, instead of the shipped words.
    """

    strides = (4, 8, 16, 32)

    def __init__(
        self,
        backbone: str = "mobilenetv2_100",
        widths: tuple[int, int, int, int] = (48, 64, 96, 128),
        key: int = 32,
        saliency: tuple[str, ...] = (),
        attention: bool = False,
        words: str | None = None,
    ) -> None:
        super().__init__()
        if unknown := set(saliency) - set(SALIENCIES):
            raise SaywhereError(f"saliency {sorted(unknown)}: choose from {', '.join(SALIENCIES)}")
        self.phrases = bool(saliency) or attention
        try:
            self.encoder: nn.Module = timm.create_model(backbone, features_only=True, out_indices=(0, 1, 2, 3, 4))
        except RuntimeError as error:
            raise SaywhereError(f"backbone '{backbone}': timm does not know it; see timm.list_models()") from error
        info: Any = self.encoder.feature_info
        strides, channels = info.reduction(), info.channels()
        if strides != [2, 4, 8, 16, 32]:
            raise SaywhereError(f"backbone '{backbone}' has strides {strides}: one with 2, 4, 8, 16, 32 is needed")
        fine, *rest = channels
        w1, w2, w3, w4 = widths
        self.purification = nn.ModuleList(
            conv(c, w, 1) for c, w in zip((rest[0] + 4 * fine, *rest[1:]), widths, strict=True)
        )
        self.keys = nn.ModuleList(nn.Conv2d(w, key, 1) for w in widths[1:]) if key else None
        extra = (2 if key else 0) + len(saliency)

        self.guide = conv(8, 24)
        self.down = nn.ModuleList([conv(w1, w2, stride=2), conv(w2, w3, stride=2), conv(w3, w4, stride=2)])
        self.fuse = nn.ModuleList(
            nn.Sequential(conv(w + g, w, 1), conv(w, w))
            for w, g in ((w1, 24), (w2, w2 + extra), (w3, w3 + extra), (w4, w4 + extra))
        )
        self.aspp = ASPP(w4, [2, 4], w4)
        self.aspp.project[3].p = 0.1
        self.up = nn.ModuleList(nn.Sequential(conv(c + w, w, 1), conv(w, w)) for c, w in ((w4, w3), (w3, w2), (w2, w1)))
        self.head = nn.Sequential(conv(w1, w1), nn.Conv2d(w1, 4, 3, padding=1), nn.PixelShuffle(2))

        self.words = find_words(words) if self.phrases else None
        self.reader = PhraseReader(words=self.words) if self.phrases else None
        context = 2 * self.reader.hidden if self.reader else 0
        self.attention = AttributeAttention(w4, context) if attention else None
        self.learned = LearnedSaliency(w2 + w3 + w4, context, words=self.words) if "learned" in saliency else None
        self.classifier = ClassifierSaliency(channels[-1], words=self.words) if "classifier" in saliency else None

    def train(self, mode: bool = True) -> Saywhere:
        """The backbone keeps the batch statistics it came with; its weights learn unless a recipe freezes them."""
        super().train(mode)
        self.encoder.eval()
        return self

    def encode(self, image: Tensor) -> Features:
        h, w = image.shape[-2:]
        if h % MULTIPLE or w % MULTIPLE:
            image = F.pad(image, (0, -w % MULTIPLE, 0, -h % MULTIPLE), mode="replicate")
        image = image.contiguous(memory_format=torch.channels_last)
        finest, second, *others = self.encoder(image * 2.0 - 1.0)
        # The stride-2 level joins the stride-4 one with its pixels folded into channels: its detail without its cost.
        folded = torch.cat([second, F.pixel_unshuffle(finest, 2)], 1)
        return self.purify(Features((h, w), {"raw": (folded, *others)}))

    def purify(self, raw: Features) -> Features:
        """Add the ``pure`` levels (strides 4 to 32) and their ``keys`` (8 to 32) to the ``raw`` ones."""
        levels = raw.levels["raw"]
        pure = [layer(x) for layer, x in zip(self.purification, levels, strict=True)]
        keys = [F.normalize(layer(x), dim=1) for layer, x in zip(self.keys, pure[1:], strict=True)] if self.keys else []
        spoken_of = []
        if self.learned is not None:
            together = torch.cat([pure[1], upsample(pure[2], pure[1]), upsample(pure[3], pure[1])], 1)
            spoken_of.append(self.learned.embed(together))
        if self.classifier is not None:
            spoken_of.append(self.classifier.embed(levels[-1]))
        return Features(
            raw.size, {**raw.levels, "pure": tuple(pure), "keys": tuple(keys), "spoken_of": tuple(spoken_of)}
        )

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        pure = features.levels["pure"]
        guide = self.guide(self._maps(prompts, pure[0], previous))
        affinity = self._affinity(features, prompts)
        spoken = self.reader([p.phrase for p in prompts]) if self.reader is not None else None
        where = self._saliency(features, spoken)
        stages = [self.fuse[0](torch.cat([pure[0], guide], 1))]
        for i in range(1, 4):
            fits = [resized(torch.tanh(logits / 2.0), pure[i]) for logits in where]
            stages.append(self.fuse[i](torch.cat([pure[i], self.down[i - 1](stages[-1]), *affinity[i], *fits], 1)))
        x = self.aspp(stages[3])
        if self.attention is not None and spoken is not None:
            x = self.attention(x, spoken)
        for layer, skip in zip(self.up, reversed(stages[:3]), strict=True):
            x = layer(torch.cat([upsample(x, skip), skip], 1))
        logits = F.interpolate(self.head(x), scale_factor=2, mode="bilinear", align_corners=False)
        h, w = features.size
        return logits[..., :h, :w].float()

    def saliency(self, features: Features, phrase: str) -> Tensor:
        """The probability that a phrase applies to each place: ``(1, 1, H, W)``; the mean of the network's sources.

        Raises NoMapError when the network has none.
        """
        if self.reader is None or not features.levels["spoken_of"]:
            raise NoMapError(f"phrase {phrase!r}: these weights have no map of where a phrase applies")
        h, w = features.size
        padded = h + -h % MULTIPLE, w + -w % MULTIPLE
        found = self._saliency(features, self.reader([phrase]))
        chances = [F.interpolate(m.sigmoid(), size=padded, mode="bilinear", align_corners=False) for m in found]
        return torch.stack(chances).mean(0)[..., :h, :w]

    def auxiliary_loss(
        self, features: Features, prompts: list[Prompt], scenes: Sequence[Scene], labels: Words
    ) -> Tensor:
        """What the map of where a phrase applies learns from labelled objects; 0 where there is none to learn."""
        if self.learned is None or self.reader is None:
            return features.levels["pure"][0].new_zeros(())
        embedded = features.levels["spoken_of"][0]
        naming = self.learned.naming_loss(embedded, [scene.named for scene in scenes], labels)
        logits = self.learned(embedded, self.reader([p.phrase for p in prompts]))
        spoken_of = [row for row, scene in enumerate(scenes) if scene.meant is not None]
        if not spoken_of:
            return NAMING * naming
        truth = torch.stack([s.meant for s in scenes if s.meant is not None])[:, None].to(logits)
        values = F.binary_cross_entropy_with_logits(logits[spoken_of], truth, reduction="none")
        # Object and background weigh the same: most phrases are about little of a photograph.
        area = truth.sum((1, 2, 3), keepdim=True)
        rest = truth[0].numel() - area
        balance = truth / area.clamp_min(1.0) + (1.0 - truth) / rest.clamp_min(1.0)
        return NAMING * naming + 0.5 * (values * balance).sum((1, 2, 3)).mean()

    def _saliency(self, features: Features, spoken: Spoken | None) -> list[Tensor]:
        """Logits of where the phrases apply, one map for each source."""
        if spoken is None:
            return []
        sources = [source for source in (self.learned, self.classifier) if source is not None]
        return [source(e, spoken) for source, e in zip(sources, features.levels["spoken_of"], strict=True)]

    def _maps(self, prompts: list[Prompt], like: Tensor, previous: Tensor | None) -> Tensor:
        """Clicks and drags by sign, and the previous probability with 2x2 cells folded: ``(B, 8, H/4, W/4)``."""
        shape = like.shape[-2], like.shape[-1]
        drawn = np.stack(
            [
                np.concatenate(
                    [
                        guidance.maps(p, shape, "gaussian", 4, sigma=CLICK_SIGMA),
                        guidance.maps(p, shape, "dynamic", 4),
                    ]
                )
                for p in prompts
            ]
        )
        clicks = torch.from_numpy(drawn).to(like.device, like.dtype)
        if previous is None:
            past = clicks.new_zeros(len(prompts), 4, *shape)
        else:
            h, w = previous.shape[-2:]
            padded = F.pad(previous.to(like.dtype), (0, 4 * shape[1] - w, 0, 4 * shape[0] - h))
            past = F.pixel_unshuffle(F.avg_pool2d(padded, 2), 2)
        maps = torch.cat([clicks, past], 1)
        return maps.contiguous(memory_format=torch.channels_last)

    def _affinity(self, features: Features, prompts: list[Prompt]) -> list[list[Tensor]]:
        """For each stage, how alike every pixel is to its most alike positive and negative click: cosines."""
        if self.keys is None:
            return [[]] * 4
        keys = features.levels["keys"]
        positive = [[c for c in p.clicks if c.positive] for p in prompts]
        negative = [[c for c in p.clicks if not c.positive] for p in prompts]
        signs = [_padded(clicks, keys[0].device) for clicks in (positive, negative)]
        return [[]] + [
            [_similarity(key, points, present, stride) for points, present in signs]
            for key, stride in zip(keys, (8, 16, 32), strict=True)
        ]


def resized(x: Tensor, like: Tensor) -> Tensor:
    """A map at the resolution of another: means when it is coarser, else between the pixels."""
    if like.shape[-2] < x.shape[-2]:
        return F.adaptive_avg_pool2d(x, (like.shape[-2], like.shape[-1]))
    return upsample(x, like)


def _padded(clicks: list[list[Click]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Where clicks are, in pixels from the image's corner ``(B, N, 2)``, and which of the N are there ``(B, N)``."""
    most = max(1, *map(len, clicks))
    points = np.zeros((len(clicks), most, 2), np.float32)
    present = np.zeros((len(clicks), most), np.bool_)
    for row, some in enumerate(clicks):
        for column, click in enumerate(some):
            points[row, column] = click.x + 0.5, click.y + 0.5
            present[row, column] = True
    return torch.from_numpy(points).to(device), torch.from_numpy(present).to(device)


def _similarity(key: Tensor, points: Tensor, present: Tensor, stride: int) -> Tensor:
    """``(B, C, h, w)`` unit vectors against those at N points each: the greatest cosine, 0 without points."""
    b, c, h, w = key.shape
    extent = torch.tensor([w * stride, h * stride], device=key.device, dtype=torch.float32)
    grid = (points / extent * 2.0 - 1.0).unsqueeze(1)
    at_clicks = F.grid_sample(key.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)
    cosine = torch.bmm(at_clicks.reshape(b, c, -1).transpose(1, 2).to(key.dtype), key.reshape(b, c, h * w))
    cosine = cosine.masked_fill(~present.unsqueeze(-1), -1.0).amax(1)
    cosine = torch.where(present.any(1, keepdim=True), cosine, torch.zeros_like(cosine))
    return cosine.reshape(b, 1, h, w)
