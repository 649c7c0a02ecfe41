"""Our network: an encoder that runs once for an image, and a small decoder that runs for each prompt.

It combines parts of the five papers. Encoder, purification layer and mini encoder are those of Sequential Interactive
Image Segmentation (section 3.1, equation 1). A drag's radius determines the width of its guidance map, as in DCT-Net's
Spatial-DCT (equation 2), and the features under the clicks scale and shift those of the decoder, as in its Feature-DCT
(equation 3). Guidance is fused at every scale, as Multi-Stage Fusion suggests. A phrase is used as a relevance map
(Text+Click) and as attention over channels (PhraseClick, equations 2 to 5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.segmentation.deeplabv3 import ASPP

from saywhere.core.image_tokens import LONGER_SIDE, MULTIPLE, PATCH, STRIDE
from saywhere.core.prompt import Prompt
from saywhere.errors import SaywhereError
from saywhere.models.backbone import create_backbone, pad_to_multiple
from saywhere.models.base import Candidates, Features
from saywhere.models.layers.attention import SelfAttentionNeck, enlarge
from saywhere.models.layers.candidates import CandidateScores
from saywhere.models.layers.clicks import ClickTensors, aggregate, sample_at, similarity
from saywhere.models.layers.convolutions import SplitConv1x1, conv, split_conv
from saywhere.models.layers.guidance import guidance_maps
from saywhere.models.layers.phrase import AttributeAttention, PhraseEncoder
from saywhere.models.layers.relevance import ClassifierRelevance, LearnedRelevance
from saywhere.models.layers.tokens import TokenDecoder, TokenEncoder
from saywhere.models.phrase_comparison import PhraseComparingModel
from saywhere.text.words import load_words

RELEVANCE_SOURCES = ("learned", "classifier")
CLICK_STRIDES = (8, 16, 32)  # of the levels that are sampled under the clicks


class FeatureLevels(NamedTuple):
    """The features of a batch of images; each attribute has a tensor ``(B, C, H/s, W/s)`` for each stride s.

    Attributes:
        raw: the backbone's levels at strides 4, 8, 16 and 32, then the tokens at stride 16 of a network with tokens.
        pure: the backbone's levels after the purification layer.
        fused: the part of the fusion layers' first convolutions that depends on the image alone, then the embedded
            tokens.
        keys: at strides 8, 16 and 32 vectors of length 1, by which cells are compared with clicked ones, then tokens of
            length 1.
    """

    raw: tuple[Tensor, ...]
    pure: tuple[Tensor, ...]
    fused: tuple[Tensor, ...]
    keys: tuple[Tensor, ...]


class Saywhere(PhraseComparingModel):
    """Our network.

    :meth:`encode_levels`, :meth:`purify_levels`, :meth:`relevance_features`, :meth:`phrase_logits` and
    :meth:`decode_levels` only take and return tensors, so that they can be exported as graphs. They contain nearly all
    of the computation.

    Args:
        backbone: a model of timm with strides 2, 4, 8, 16 and 32.
        widths: channels of the purified levels at strides 4, 8, 16 and 32.
        key: channels of the vectors by which cells are compared with clicked ones; 0: no comparison.
        relevance: sources of the relevance map (:data:`RELEVANCE_SOURCES`).
        attention: whether a phrase weighs channels. Without it and without ``relevance``, phrases are not used.
        words: a word2vec or GloVe file; the shipped words if None.
        feature_dct: whether the features under the clicks scale and shift those of the decoder.
        fine: channels between the layers of the finest level, which take half of the decoder's time; that level's width
            if None.
        weigh_words: whether the network learns a weight for each word of a phrase.
        neck: number of transformer blocks at stride 16 between backbone and purification layer.
        candidates: how many masks the last layer gives for a prompt. With more than one, :meth:`decode` returns the one
            whose predicted IoU is highest.
        box: whether the prompt's box is used.
        tokens: a vision transformer of timm with patches of 14 pixels, whose tokens of the whole image carry the
            semantics, see :class:`TokenEncoder`; without one if None.
        token_width: channels of the token decoder, a multiple of 64.
        token_blocks: number of its transformer blocks.
        relevance_of_backbone: whether the learned relevance map also sees the backbone's coarsest level, which tells
            more of what things are than the purified levels do.
        relevance_of_tokens: whether the learned relevance map also sees the tokens, which tell still more.
        salient: whether it was trained to answer an empty prompt with what stands out in the image.

    Raises:
        SaywhereError: the backbone or a relevance source is unknown, there are no candidates, or
            ``relevance_of_tokens`` is asked of a network without tokens.
    """

    strides = (4, 8, 16, 32)
    renamed_parameters: ClassVar[Mapping[str, str]] = {
        "distribution.": "film.",
        "reader.": "phrase_encoder.",
        "learned.": "learned_relevance.",
        "classifier.": "classifier_relevance.",
    }
    repeated_parameters: ClassVar[tuple[str, ...]] = ("head.1.",)

    def __init__(
        self,
        backbone: str = "mobilenetv2_100",
        widths: tuple[int, int, int, int] = (48, 64, 96, 128),
        key: int = 32,
        relevance: tuple[str, ...] = (),
        attention: bool = False,
        words: str | None = None,
        feature_dct: bool = False,
        fine: int | None = None,
        weigh_words: bool = False,
        neck: int = 0,
        candidates: int = 1,
        box: bool = False,
        tokens: str | None = None,
        token_width: int = 128,
        token_blocks: int = 2,
        relevance_of_backbone: bool = False,
        relevance_of_tokens: bool = False,
        salient: bool = False,
    ) -> None:
        super().__init__()
        if candidates < 1:
            raise SaywhereError(f"candidates {candidates}: give 1 or more")
        self.candidates, self.boxes, self.salient = candidates, box, salient
        if unknown := set(relevance) - set(RELEVANCE_SOURCES):
            raise SaywhereError(f"relevance {sorted(unknown)}: choose from {', '.join(RELEVANCE_SOURCES)}")
        self.phrases = bool(relevance) or attention
        self.relevance_maps = self.calibrated_relevance = bool(relevance)
        self.image_tokens = tokens is not None
        self.encoder, channels = create_backbone(backbone, (2, 4, 8, 16, 32), range(5))
        finest, *rest = channels
        self.neck = SelfAttentionNeck(rest[1:], neck) if neck else None
        w1, w2, w3, w4 = widths
        fine = fine or w1
        self.decoder_widths = w3, w2, fine
        self.purification = nn.ModuleList(
            conv(c, w, 1) for c, w in zip((rest[0] + 4 * finest, *rest[1:]), widths, strict=True)
        )
        self.keys = nn.ModuleList(nn.Conv2d(w, key, 1) for w in widths[1:]) if key else None
        extra = (2 if key else 0) + len(relevance)

        guidance = 8 + (3 if box else 0)
        self.guide = conv(guidance, 24)
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
        self.head = nn.Sequential(conv(fine, fine), nn.Conv2d(fine, 4 * candidates, 3, padding=1), nn.PixelShuffle(2))

        clicked = w2 + w3 + w4
        self.film = film(clicked + 2, 2 * sum(self.decoder_widths)) if feature_dct else None

        self.words = load_words(words) if self.phrases else None
        self.phrase_encoder = PhraseEncoder(words=self.words, weigh=weigh_words) if self.phrases else None
        context = 2 * self.phrase_encoder.hidden if self.phrase_encoder else 0
        self.attention = AttributeAttention(w4, context) if attention else None
        self.token_encoder = TokenEncoder(tokens) if tokens else None
        if relevance_of_tokens and self.token_encoder is None:
            raise SaywhereError("relevance_of_tokens: this network has no tokens; give tokens, a vision transformer")
        self.relevance_of_backbone, self.relevance_of_tokens = relevance_of_backbone, relevance_of_tokens
        further = channels[-1] if relevance_of_backbone else 0
        if relevance_of_tokens and self.token_encoder is not None:
            further += self.token_encoder.channels
        self.learned_relevance = (
            LearnedRelevance(clicked + further, context, words=self.words) if "learned" in relevance else None
        )
        self.classifier_relevance = (
            ClassifierRelevance(channels[-1], words=self.words) if "classifier" in relevance else None
        )
        self.token_decoder = (
            TokenDecoder(
                self.token_encoder.channels, guidance, len(relevance), w3, w4, candidates, token_blocks, token_width
            )
            if self.token_encoder
            else None
        )
        self.candidate_scores = (
            CandidateScores(candidates, fine + guidance, guidance, w4, len(relevance)) if candidates > 1 else None
        )

    def train(self, mode: bool = True) -> Saywhere:
        """Set the mode; the backbone's batch-norm statistics always stay frozen."""
        super().train(mode)
        self.encoder.eval()
        if self.token_encoder is not None:
            self.token_encoder.eval()
        return self

    # Encoding

    def encode(self, image: Tensor) -> Features:
        if self.token_encoder is None:
            return self.encode_crop(image, None)
        return self.encode_crop(image, self.tokens_of_cells(pad_to_multiple(image, MULTIPLE)))

    def tokens_of_cells(self, padded: Tensor, antialias: bool = True) -> Tensor:
        """The tokens of a network with tokens, at the cells of a crop that is the whole image.

        Args:
            padded: ``(B, 3, H, W)`` in [0, 1]; both sides are multiples of 32.
            antialias: whether it is resized with a filter, which ONNX has not.

        Returns:
            ``(B, C, H/16, W/16)``.
        """
        height, width = (int(side) for side in padded.shape[-2:])
        scale = LONGER_SIDE / max(height, width)
        seen = [max(round(side * scale), 1) * PATCH for side in (height, width)]
        tokens = self.encode_tokens(F.interpolate(padded, seen, mode="bilinear", antialias=antialias))
        return F.interpolate(tokens, [height // STRIDE, width // STRIDE], mode="bilinear", align_corners=False)

    def encode_tokens(self, image: Tensor) -> Tensor:
        if self.token_encoder is None:
            return super().encode_tokens(image)
        return self.token_encoder(image)

    def encode_crop(self, image: Tensor, tokens: Tensor | None) -> Features:
        h, w = image.shape[-2:]
        raw = self.encode_levels(pad_to_multiple(image, MULTIPLE) * 2.0 - 1.0, tokens)
        return self.purify(Features((h, w), {"raw": raw}))

    def encode_levels(self, image: Tensor, tokens: Tensor | None = None) -> tuple[Tensor, ...]:
        """Run the backbone and the neck.

        Args:
            image: ``(B, 3, H, W)`` in [-1, 1]; both sides are multiples of 32.
            tokens: ``(B, C, H/16, W/16)``; None for a network without tokens.

        Returns:
            ``(B, C, H/s, W/s)`` for the strides s of 4, 8, 16 and 32, then the tokens, if any.
        """
        finest, second, *others = self.encoder(image.contiguous(memory_format=torch.channels_last))
        if self.neck is not None:
            others = self.neck(*others)
        # The stride-2 level is unshuffled to stride 4: the fine details, without convolutions at stride 2.
        levels = torch.cat([second, F.pixel_unshuffle(finest, 2)], 1), *others
        return levels if tokens is None else (*levels, tokens)

    def purify(self, raw: Features) -> Features:
        """See :meth:`PurifyingModel.purify`."""
        levels = self.purify_levels(raw.levels["raw"])
        return Features(raw.size, {**raw.levels, **levels._asdict()})

    def purify_levels(self, raw: Sequence[Tensor]) -> FeatureLevels:
        """Run the purification layer, and all after it that does not depend on a prompt.

        Args:
            raw: what :meth:`encode_levels` returned.
        """
        pure = [layer(x) for layer, x in zip(self.purification, raw[: len(self.strides)], strict=True)]
        fused = [_input_conv(stage).project(x) for stage, x in zip(self.fuse, pure, strict=True)]
        keys = [F.normalize(layer(x), dim=1) for layer, x in zip(self.keys, pure[1:], strict=True)] if self.keys else []
        if self.token_decoder is not None:
            embedded, token_keys = self.token_decoder.embed(raw[-1])
            fused.append(embedded)
            keys.append(token_keys)
        return FeatureLevels(tuple(raw), tuple(pure), tuple(fused), tuple(keys))

    # Decoding

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        return self.decode_candidates(features, prompts, previous).chosen()

    def decode_candidates(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Candidates:
        finest = features.levels["pure"][0]
        phrases = None if self.phrase_encoder is None else self.phrase_encoder([p.phrase for p in prompts])
        h, w = features.size
        height, width = finest.shape[-2] * 4, finest.shape[-1] * 4
        if previous is None:
            previous = finest.new_zeros(len(prompts), 1, height, width)
        else:
            previous = F.pad(previous.to(finest.dtype), (0, width - w, 0, height - h))
        logits, iou_logits, of_tokens = self.decode_levels(
            features.levels["pure"],
            features.levels["fused"],
            features.levels["keys"],
            ClickTensors.from_prompts(prompts, finest.device),
            previous,
            self._relevance_logits(features, phrases),
            None if phrases is None or self.attention is None else phrases.context,
        )
        return Candidates(logits[..., :h, :w].float(), iou_logits, of_tokens)

    def decode_levels(
        self,
        pure: Sequence[Tensor],
        fused: Sequence[Tensor],
        keys: Sequence[Tensor],
        clicks: ClickTensors,
        previous: Tensor,
        relevance: Tensor,
        context: Tensor | None,
    ) -> Candidates:
        """Compute candidate masks from features and prompts.

        Args:
            pure: see :class:`FeatureLevels`.
            fused: see :class:`FeatureLevels`.
            keys: see :class:`FeatureLevels`.
            clicks: one prompt for each image.
            previous: ``(B, 1, H, W)`` probability of the previous mask, padded to multiples of 32; zeros without one.
            relevance: ``(B, S, H/8, W/8)`` logits, see :meth:`phrase_logits`.
            context: ``(B, 2 * hidden)``, see :class:`EncodedPhrases`; None without attention.

        Returns:
            ``(B, n, H, W)`` logits and ``(B, n)`` logits of the predicted IoU; n is 1 by default. In training mode also
            the logits of a network's tokens alone.
        """
        guidance = self.draw(clicks, previous).to(fused[0].dtype)
        guide = self.guide(guidance.contiguous(memory_format=torch.channels_last))
        stages = [self.fuse[0]((fused[0], guide))]
        comparisons = self._compare(fused, keys, clicks, relevance)
        levels = fused[1 : len(self.strides)]
        for down, fuse, level, comparison in zip(self.down, self.fuse[1:], levels, comparisons, strict=True):
            stages.append(fuse((level, self.pass_down(down, stages[-1]), comparison)))
        x, coarse_logits = self.aspp(stages[3]), None
        if self.token_decoder is not None:
            bounded = torch.tanh(relevance / 2.0)
            middle, deep, coarse_logits = self.token_decoder(fused[-1], keys[-1], clicks, guidance, bounded)
            x, stages[2] = x + deep, stages[2] + middle
        if self.attention is not None and context is not None:
            x = self.attention(x, context)
        deep = x
        modulations = self._modulations(pure, clicks)
        for layer, skip, modulation in zip(self.up, reversed(stages[:3]), modulations, strict=True):
            x = layer((enlarge(_input_conv(layer).project(x)), skip))
            if modulation is not None:
                scale, shift = modulation
                x = x * (1.0 + scale) + shift
        logits = self.head(x)
        of_tokens = coarse_logits if self.training else None
        if self.token_decoder is not None and coarse_logits is not None:
            logits = logits + enlarge(self.token_decoder.mix(coarse_logits))
        if self.candidate_scores is None:
            return Candidates(enlarge(logits), logits.new_zeros(len(logits), 1), of_tokens)
        maps = torch.cat([x, guidance.to(x.dtype)], 1)
        scores = self.candidate_scores(F.avg_pool2d(logits, 2), maps, deep, torch.tanh(relevance / 2.0))
        return Candidates(enlarge(logits), scores, of_tokens)

    def decode_tokens(self, tokens: Tensor, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        if self.token_decoder is None:
            return super().decode_tokens(tokens, prompts, previous)
        batch, _, h, w = tokens.shape
        if previous is None:
            previous = tokens.new_zeros(batch, 1, h * STRIDE, w * STRIDE)
        clicks = ClickTensors.from_prompts(prompts, tokens.device)
        embedded, keys = self.token_decoder.embed(tokens)
        guidance = self.draw(clicks, previous).to(embedded.dtype)
        relevance = guidance.new_zeros(batch, self.relevance_sources, 2 * h, 2 * w)
        return self.token_decoder(embedded, keys, clicks, guidance, relevance)[2]

    def draw(self, clicks: ClickTensors, previous: Tensor) -> Tensor:
        """The guidance maps, see :func:`guidance_maps`."""
        return guidance_maps(clicks, previous, self.boxes)

    def pass_down(self, layer: nn.Module, finer: Tensor) -> Tensor:
        """What a level of the mini encoder gets from the next finer one, which has the guidance."""
        return layer(finer)

    def _compare(
        self, fused: Sequence[Tensor], keys: Sequence[Tensor], clicks: ClickTensors, relevance: Tensor
    ) -> list[Tensor]:
        """The channels ``(B, C, H/s, W/s)`` that compare each level with the prompt, for strides s of 8, 16 and 32.

        They are the similarity to the clicks, and the relevance of the phrase in [-1, 1].
        """
        relevance = torch.tanh(relevance / 2.0)
        comparisons = []
        for i, stride in enumerate(CLICK_STRIDES):
            parts = [similarity(keys[i], clicks.points, clicks.labels, stride)] if keys else []
            if self.relevance_maps:
                parts.append(F.avg_pool2d(relevance, 2**i) if i else relevance)
            level = fused[i + 1]
            comparisons.append(torch.cat([level[:, :0], *(part.to(level.dtype) for part in parts)], 1))
        return comparisons

    def _modulations(self, pure: Sequence[Tensor], clicks: ClickTensors) -> Sequence[tuple[Tensor, Tensor] | None]:
        """Scale and shift of each decoder layer's output, ``(B, C, 1, 1)`` each (FiLM; DCT-Net, equation 3)."""
        if self.film is None:
            return (None, None, None)
        sampled = [
            F.normalize(sample_at(x, clicks.points, s), dim=-1) for x, s in zip(pure[1:], CLICK_STRIDES, strict=True)
        ]
        clicked = torch.cat(sampled, -1) / len(sampled) ** 0.5
        first_radius = clicks.radii[:, :1]
        is_drag = (first_radius > 0.0).to(first_radius.dtype)
        inputs = [aggregate(clicked, clicks.labels), is_drag, first_radius.clamp(min=1.0).log() / 5.0]
        modulation = self.film(torch.cat(inputs, 1))[..., None, None]
        parts = modulation.split([width for width in self.decoder_widths for _ in range(2)], dim=1)
        return list(zip(parts[::2], parts[1::2], strict=True))


def film(clicked: int, outputs: int) -> nn.Sequential:
    """The network that computes FiLM's scales and shifts; both are nearly 0 at first.

    Args:
        clicked: channels of the aggregated features.
        outputs: number of scales and shifts.
    """
    last = nn.Linear(64, outputs)
    nn.init.normal_(last.weight, std=1e-3)
    nn.init.zeros_(last.bias)
    return nn.Sequential(nn.Linear(clicked, 64), nn.ReLU(), last)


def _input_conv(stage: nn.Module) -> SplitConv1x1:
    """The first convolution of a fusion stage or decoder layer."""
    layer: Any = stage
    assert isinstance(layer[0][0], SplitConv1x1)
    return layer[0][0]
