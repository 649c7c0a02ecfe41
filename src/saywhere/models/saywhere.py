"""Our network: features once per image, guidance at every stage of a small decoder.

The split into features, purification and mini encoder follows Sequential Interactive Image Segmentation
(section 3.1, equation 1); a radius for each click is DCT-Net's Spatial-DCT (equation 2); guidance that meets
the features at every scale instead of only at the input is the lesson of Multi-Stage Fusion; what lies under the
clicks may set how the decoder's features are distributed (DCT-Net's Feature-DCT, equation 3). A phrase acts in two
places: as a map of where it applies beside the clicks (Text+Click), and as attention over channels (PhraseClick,
equations 2 to 5).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import timm
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP

from saywhere.core.prompt import Prompt
from saywhere.errors import NoMapError, SaywhereError
from saywhere.models.base import Features, PurifyingModel
from saywhere.models.layers.attention import SelfAttentionNeck, upsample_2x
from saywhere.models.layers.clicks import RadiusHead, aggregate, at_clicks, gaussians, similarity, to_device
from saywhere.models.layers.phrase import AttributeAttention, EncodedPhrases, PhraseEncoder
from saywhere.models.layers.relevance import ClassifierRelevance, LearnedRelevance
from saywhere.models.targets import PhraseSupervision
from saywhere.runtime.onnx import Graphs
from saywhere.text.words import Words, find_words

MULTIPLE = 32  # the coarsest level's stride
CLICK_SIGMA = 6.0  # pixels of the encoded image: about what a hand's aim is worth
RELEVANCE_SOURCES = ("learned", "classifier")
CLICKED = (8, 16, 32)  # strides of the levels whose features under the clicks are compared, aggregated and measured
PREDICTED = 0.5  # height of a click's own map when its radius was not dragged but predicted
RADIUS_WEIGHT = 0.1
NAMING = 0.3  # weight of telling labels from each other against the loss of the map


def conv(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class SplitConv1x1(nn.Conv2d):
    """A 1x1 convolution of maps with ``parts`` channels as if they lay side by side, without putting them there.

    What it makes of the ``first`` can be had before the others are known (what a photograph shows stays from click to
    click), or before it is enlarged (a 1x1 convolution and an enlargement may trade places): the same answer, sooner.
    """

    def __init__(self, parts: Sequence[int], outputs: int) -> None:
        super().__init__(sum(parts), outputs, 1, bias=False)
        self.parts = list(parts)

    def project(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight.split(self.parts, dim=1)[0])

    def forward(self, met: Sequence[Tensor]) -> Tensor:  # type: ignore[override]
        """From what :meth:`project` gave, at its final size, and the other maps."""
        made, *others = met
        bias = self.bias
        for other, weight in zip(others, self.weight.split(self.parts, dim=1)[1:], strict=True):
            if weight.shape[1]:
                made, bias = made + F.conv2d(other, weight, bias), None
        return made


def split_conv(parts: Sequence[int], outputs: int) -> nn.Sequential:
    return nn.Sequential(SplitConv1x1(parts, outputs), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def upsample(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)


class Saywhere(PurifyingModel):
    """Its features hold the backbone's ``raw`` levels, the ``pure`` ones, what of these is ``fused`` with a prompt's
    maps and the ``keys`` that clicks are compared in. Most of its time goes to :meth:`look` and
    :meth:`answer`, which take and give tensors alone, so that ``graphs`` may stand in for them (models/graphs.py).

    ``widths`` are the channels of the purified levels at strides 4, 8, 16 and 32; ``key`` is the length of the
    vectors in which a clicked pixel is compared with all others; 0 leaves that comparison out. ``relevance`` names the
    sources of the map of where a phrase applies (:data:`RELEVANCE_SOURCES`), ``attention`` lets it weigh channels;
    without either, phrases are not understood. ``weigh_words`` learns which word of a phrase says what is meant.
    ``words`` is a word2vec or GloVe file, instead of the shipped words. ``fine`` is how many channels lie between the
    layers of the finest level, where half of an answer's time goes: its own width if None.

    ``radius`` predicts how far a click reaches that was not dragged, ``feature_dct`` lets the features under the clicks
    scale and shift the decoder's, ``guide_stages`` draws the clicks anew at every stage instead of at the first alone.
    ``neck`` is how many transformer blocks relate all places of a photograph to each other when it is looked at.
    """

    strides = (4, 8, 16, 32)
    renamed_parameters: ClassVar[Mapping[str, str]] = {"distribution.": "film."}
    graphs: Graphs | None = None

    def __init__(
        self,
        backbone: str = "mobilenetv2_100",
        widths: tuple[int, int, int, int] = (48, 64, 96, 128),
        key: int = 32,
        relevance: tuple[str, ...] = (),
        attention: bool = False,
        words: str | None = None,
        radius: bool = False,
        feature_dct: bool = False,
        guide_stages: bool = False,
        fine: int | None = None,
        weigh_words: bool = False,
        neck: int = 0,
    ) -> None:
        super().__init__()
        if unknown := set(relevance) - set(RELEVANCE_SOURCES):
            raise SaywhereError(f"relevance {sorted(unknown)}: choose from {', '.join(RELEVANCE_SOURCES)}")
        self.phrases = bool(relevance) or attention
        self.relevance_maps = self.calibrated_relevance = bool(relevance)
        try:
            self.encoder: nn.Module = timm.create_model(backbone, features_only=True, out_indices=(0, 1, 2, 3, 4))
        except RuntimeError as error:
            raise SaywhereError(f"backbone '{backbone}': timm does not know it; see timm.list_models()") from error
        info: Any = self.encoder.feature_info
        strides, channels = info.reduction(), info.channels()
        if strides != [2, 4, 8, 16, 32]:
            raise SaywhereError(f"backbone '{backbone}' has strides {strides}: one with 2, 4, 8, 16, 32 is needed")
        finest, *rest = channels
        self.neck = SelfAttentionNeck(rest[1:], neck) if neck else None
        w1, w2, w3, w4 = widths
        fine = fine or w1
        self.upward = w3, w2, fine
        self.purification = nn.ModuleList(
            conv(c, w, 1) for c, w in zip((rest[0] + 4 * finest, *rest[1:]), widths, strict=True)
        )
        self.keys = nn.ModuleList(nn.Conv2d(w, key, 1) for w in widths[1:]) if key else None
        self.guide_stages = guide_stages
        extra = (2 if key else 0) + len(relevance) + (5 if guide_stages else 0)

        self.guide = conv(8, 24)
        self.down = nn.ModuleList([conv(w1, w2, stride=2), conv(w2, w3, stride=2), conv(w3, w4, stride=2)])
        self.fuse = nn.ModuleList(
            nn.Sequential(split_conv(parts, between), conv(between, parts[0]))
            for parts, between in (((w1, 24), fine), *(((w, w, extra), w) for w in (w2, w3, w4)))
        )
        self.aspp = ASPP(w4, [2, 4], w4)
        self.aspp.project[3].p = 0.1
        self.up = nn.ModuleList(
            nn.Sequential(split_conv((below, skip), out), conv(out, out))
            for below, skip, out in ((w4, w3, w3), (w3, w2, w2), (w2, w1, fine))
        )
        self.head = nn.Sequential(conv(fine, fine), nn.Conv2d(fine, 4, 3, padding=1), nn.PixelShuffle(2))

        clicked = w2 + w3 + w4
        self.radius = RadiusHead(clicked) if radius else None
        self.film = film(clicked + 2, 2 * sum(self.upward)) if feature_dct else None

        self.words = find_words(words) if self.phrases else None
        self.reader = PhraseEncoder(words=self.words, weigh=weigh_words) if self.phrases else None
        context = 2 * self.reader.hidden if self.reader else 0
        self.attention = AttributeAttention(w4, context) if attention else None
        self.learned = LearnedRelevance(clicked, context, words=self.words) if "learned" in relevance else None
        self.classifier = ClassifierRelevance(channels[-1], words=self.words) if "classifier" in relevance else None

    def train(self, mode: bool = True) -> Saywhere:
        """The backbone keeps the batch statistics it came with; its weights learn unless a recipe freezes them."""
        super().train(mode)
        self.encoder.eval()
        return self

    def encode(self, image: Tensor) -> Features:
        h, w = image.shape[-2:]
        if h % MULTIPLE or w % MULTIPLE:
            image = F.pad(image, (0, -w % MULTIPLE, 0, -h % MULTIPLE), mode="replicate")
        image = image * 2.0 - 1.0
        graphs = self._graphs()
        if graphs is None:
            return self.purify(Features((h, w), {"raw": self.look(image)}))
        found = Features((h, w), graphs.look(image))
        # Networks that differ in their purification layer alone share the graphs of one of them.
        return found if graphs.model is self else self.purify(found)

    def _graphs(self) -> Graphs | None:
        """What runs the convolutions faster; it cannot be differentiated."""
        return None if torch.is_grad_enabled() else self.graphs

    def look(self, image: Tensor) -> tuple[Tensor, ...]:
        """The backbone's levels of images in [-1, 1] whose sides are multiples of 32: strides 4 to 32."""
        image = image.contiguous(memory_format=torch.channels_last)
        finest, second, *others = self.encoder(image)
        if self.neck is not None:
            others = self.neck(*others)
        # The stride-2 level joins the stride-4 one with its pixels folded into channels: its detail without its cost.
        return torch.cat([second, F.pixel_unshuffle(finest, 2)], 1), *others

    def purify(self, raw: Features) -> Features:
        """Add what is made of the ``raw`` levels to them, in place of what another purification layer made."""
        return Features(raw.size, {**raw.levels, **self.purified(raw.levels["raw"])})

    def purified(self, raw: Sequence[Tensor]) -> dict[str, tuple[Tensor, ...]]:
        """The ``pure`` levels (strides 4 to 32), what the fusion makes of them (``fused``) and their ``keys`` (8 to
        32)."""
        pure = [layer(x) for layer, x in zip(self.purification, raw, strict=True)]
        fused = [self._split_conv(stage).project(x) for stage, x in zip(self.fuse, pure, strict=True)]
        keys = [F.normalize(layer(x), dim=1) for layer, x in zip(self.keys, pure[1:], strict=True)] if self.keys else []
        return {"pure": tuple(pure), "fused": tuple(fused), "keys": tuple(keys)}

    def _phrase_embedding_maps(self, features: Features) -> tuple[Tensor, ...]:
        """The maps that phrases are compared with, made when the first phrase is said."""
        if "phrase_embedding_maps" not in features.cache:
            made = []
            pure = features.levels["pure"]
            if self.learned is not None:
                together = torch.cat([pure[1], upsample(pure[2], pure[1]), upsample(pure[3], pure[1])], 1)
                made.append(self.learned.embed(together))
            if self.classifier is not None:
                made.append(self.classifier.embed(features.levels["raw"][-1]))
            features.cache["phrase_embedding_maps"] = tuple(made)
        return features.cache["phrase_embedding_maps"]

    @staticmethod
    def _split_conv(stage: nn.Module) -> SplitConv1x1:
        """The convolution that a stage of the fusion or of the decoder begins with."""
        layer: Any = stage
        assert isinstance(layer[0][0], SplitConv1x1)
        return layer[0][0]

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        pure = features.levels["pure"]
        clicked = self._clicked(features, prompts)
        drawn, past = self._maps(prompts, clicked, pure[0], previous)
        affinity = self._affinity(features, prompts)
        spoken = self.reader([p.phrase for p in prompts]) if self.reader is not None else None
        where = self._relevance(features, spoken)
        seen = []
        for i, alike in zip((1, 2, 3), affinity, strict=True):
            fits = [resize_like(torch.tanh(logits / 2.0), pure[i]) for logits in where]
            again = [drawn[i], resize_like(past.mean(1, keepdim=True), pure[i])] if self.guide_stages else []
            seen.append(torch.cat([alike, *fits, *again], 1))
        context = None if spoken is None or self.attention is None else spoken.context
        drawn_all = torch.cat([drawn[0], past], 1)
        asked: tuple[Any, ...] = drawn_all, *features.levels["fused"], *seen, context, self._film(clicked, prompts)
        graphs = self._graphs()
        half = self.answer(*asked) if graphs is None else graphs.answer(*asked)
        h, w = features.size
        return upsample_2x(half)[..., :h, :w].float()

    def answer(
        self,
        drawn: Tensor,
        fused1: Tensor, fused2: Tensor, fused3: Tensor, fused4: Tensor,
        seen2: Tensor, seen3: Tensor, seen4: Tensor,
        context: Tensor | None,
        told: Tensor | None,
    ) -> Tensor:  # fmt: skip
        """The decoder: what is drawn ``(B, 8, h, w)``, what of each level is ``fused`` and ``seen`` there besides, what
        was said and what the clicked features scale and shift by, to logits of the padded image at half its size."""
        guide = self.guide(drawn.contiguous(memory_format=torch.channels_last))
        stages = [self.fuse[0]((fused1, guide))]
        for down, fuse, fused, seen in zip(
            self.down, self.fuse[1:], (fused2, fused3, fused4), (seen2, seen3, seen4), strict=True
        ):
            stages.append(fuse((fused, down(stages[-1]), seen)))
        x = self.aspp(stages[3])
        if self.attention is not None and context is not None:
            x = self.attention(x, context)
        parts = [] if told is None else told.split([w for width in self.upward for w in (width, width)], dim=1)
        changes: list[Any] = list(zip(parts[::2], parts[1::2], strict=True)) or [None] * 3
        for layer, skip, change in zip(self.up, reversed(stages[:3]), changes, strict=True):
            x = layer((upsample_2x(self._split_conv(layer).project(x)), skip))
            if change is not None:
                scale, shift = change
                x = x * (1.0 + scale) + shift
        return self.head(x)

    def relevance(self, features: Features, phrase: str) -> Tensor:
        """The probability that a phrase applies to each place: ``(1, 1, H, W)``; the mean of the network's sources.

        Raises NoMapError when the network has none.
        """
        if self.reader is None or not self.calibrated_relevance:
            raise NoMapError(f"phrase {phrase!r}: these weights have no map of where a phrase applies")
        h, w = features.size
        padded = h + -h % MULTIPLE, w + -w % MULTIPLE
        found = self._relevance(features, self.reader([phrase]))
        chances = [F.interpolate(m.sigmoid(), size=padded, mode="bilinear", align_corners=False) for m in found]
        return torch.stack(chances).mean(0)[..., :h, :w]

    def auxiliary_loss(
        self, features: Features, prompts: list[Prompt], supervision: Sequence[PhraseSupervision], labels: Words
    ) -> Tensor:
        """What the predicted radii learn from drags, and the map of where a phrase applies from labelled objects."""
        clicked = self._clicked(features, prompts)
        reach = self.radius.loss(clicked, prompts) if self.radius is not None and clicked is not None else 0.0
        return (
            features.levels["pure"][0].new_zeros(())
            + RADIUS_WEIGHT * reach
            + self._label_contrast_loss(features, prompts, supervision, labels)
        )

    def _label_contrast_loss(
        self, features: Features, prompts: list[Prompt], supervision: Sequence[PhraseSupervision], labels: Words
    ) -> Tensor | float:
        if self.learned is None or self.reader is None:
            return 0.0
        embedded = self._phrase_embedding_maps(features)[0]
        naming = self.learned.label_contrast_loss(embedded, [supervised.regions for supervised in supervision], labels)
        logits = self.learned(embedded, self.reader([p.phrase for p in prompts]))
        phrase_embedding_maps = [row for row, supervised in enumerate(supervision) if supervised.target is not None]
        if not phrase_embedding_maps:
            return NAMING * naming
        truth = to_device(np.stack([s.target for s in supervision if s.target is not None])[:, None], logits.device).to(
            logits.dtype
        )
        values = F.binary_cross_entropy_with_logits(logits[phrase_embedding_maps], truth, reduction="none")
        # Object and background weigh the same: most phrases are about little of a photograph.
        area = truth.sum((1, 2, 3), keepdim=True)
        rest = truth[0].numel() - area
        balance = truth / area.clamp_min(1.0) + (1.0 - truth) / rest.clamp_min(1.0)
        return NAMING * naming + 0.5 * (values * balance).sum((1, 2, 3)).mean()

    def _relevance(self, features: Features, spoken: EncodedPhrases | None) -> list[Tensor]:
        """Logits of where the phrases apply, one map for each source; 0 everywhere where nothing was said."""
        if spoken is None:
            return []
        sources = [source for source in (self.learned, self.classifier) if source is not None]
        if not spoken.said:
            like = features.levels["pure"][1]
            return [like.new_zeros(len(like), 1, *like.shape[2:]) for _ in sources]
        return [source(e, spoken) for source, e in zip(sources, self._phrase_embedding_maps(features), strict=True)]

    def _maps(
        self, prompts: list[Prompt], clicked: Tensor | None, like: Tensor, previous: Tensor | None
    ) -> tuple[list[Tensor], Tensor]:
        """Clicks and drags by sign ``(B, 4, H/s, W/s)`` for every stage that draws them, and the previous probability
        with 2x2 cells folded ``(B, 4, H/4, W/4)``."""
        shape = like.shape[-2], like.shape[-1]
        wide = prompts if self.radius is None or clicked is None else self.radius.widen(clicked, prompts)
        strides = (4, 8, 16, 32) if self.guide_stages else (4,)
        clicks = [self._drawn(prompts, wide, shape, stride, like.device).to(like.dtype) for stride in strides]
        if previous is None:
            return clicks, clicks[0].new_zeros(len(prompts), 4, *shape)
        h, w = previous.shape[-2:]
        padded = F.pad(previous.to(like.dtype), (0, 4 * shape[1] - w, 0, 4 * shape[0] - h))
        return clicks, F.pixel_unshuffle(F.avg_pool2d(padded, 2), 2)

    @staticmethod
    def _drawn(
        prompts: list[Prompt], wide: list[Prompt], finest: tuple[int, int], stride: int, device: torch.device
    ) -> Tensor:
        """The maps of a level; ``wide`` are the prompts with a radius for every click, where these are predicted."""
        shape = finest[0] * 4 // stride, finest[1] * 4 // stride
        # A cell must not fall between its neighbours' Gaussians.
        fixed = gaussians(prompts, shape, stride, device, max(CLICK_SIGMA, 0.6 * stride))
        dragged = gaussians(prompts, shape, stride, device)
        if wide is not prompts:
            dragged = torch.maximum(dragged, PREDICTED * gaussians(wide, shape, stride, device))
        return torch.cat([fixed, dragged], 1)

    def _clicked(self, features: Features, prompts: list[Prompt]) -> Tensor | None:
        """The features under the clicks, of unit length: ``(B, N, C)``; None where nothing asks for them."""
        if self.radius is None and self.film is None:
            return None
        levels = features.levels["pure"][1:]
        found = [F.normalize(at_clicks(x, prompts, s), dim=-1) for x, s in zip(levels, CLICKED, strict=True)]
        return torch.cat(found, -1) / len(found) ** 0.5

    def _film(self, clicked: Tensor | None, prompts: list[Prompt]) -> Tensor | None:
        """What each of the decoder's layers is scaled and shifted by, one after another ``(B, C, 1, 1)``; None without
        the part."""
        if self.film is None or clicked is None:
            return None
        signs = [[click.positive for click in prompt.clicks] for prompt in prompts]
        reach = to_device(np.array([reach_of(p) for p in prompts], np.float32), clicked.device).to(clicked.dtype)
        told: Tensor = self.film(torch.cat([aggregate(clicked, signs), reach], 1))
        return told[..., None, None]

    def _affinity(self, features: Features, prompts: list[Prompt]) -> list[Tensor]:
        """For each stage after the first, how alike every pixel is to its most alike positive and negative click:
        cosines ``(B, 2, h, w)``, and without keys no channels."""
        if self.keys is None:
            return [level[:, :0] for level in features.levels["pure"][1:]]
        levels = zip(features.levels["keys"], CLICKED, strict=True)
        return [similarity(key, prompts, stride) for key, stride in levels]


def reach_of(prompt: Prompt) -> tuple[float, float]:
    """Whether the first click was dragged, and how far: what features under clicks cannot tell."""
    radius = prompt.clicks[0].radius if prompt.clicks else None
    return (0.0, 0.0) if radius is None else (1.0, math.log(max(radius, 1.0)) / 5.0)


def film(clicked: int, told: int) -> nn.Sequential:
    """The small network from aggregated features to scales and shifts, which at first change next to nothing."""
    last = nn.Linear(64, told)
    nn.init.normal_(last.weight, std=1e-3)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(clicked, 64), nn.ReLU(), last)


def resize_like(x: Tensor, like: Tensor) -> Tensor:
    """A map at the resolution of another: means when it is coarser, else between the pixels."""
    if like.shape[-2] < x.shape[-2]:
        return F.adaptive_avg_pool2d(x, (like.shape[-2], like.shape[-1]))
    return upsample(x, like)
