"""PhraseClick (Ding et al. 2020): clicks as distance maps, a phrase as attention over channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from saywhere.core import guidance
from saywhere.core.prompt import Prompt
from saywhere.errors import SaywhereError
from saywhere.models.base import Features
from saywhere.models.deeplab import DeepLab
from saywhere.models.layers.phrase import AttributeAttention, PhraseEncoder, attribute_loss
from saywhere.models.targets import PhraseSupervision
from saywhere.text.words import PLURAL_ENDINGS, WORD_PATTERN, Words, load_words, normalise

LIMIT = 255.0  # pixels at which distance maps are truncated (Xu et al. 2016)
NEW_LAYER_STD = 1e-2  # standard deviation of the initial weights of new layers (section 4.1)
ATTRIBUTE_WORDS = (
    "black white grey red orange yellow green blue purple pink brown dark light striped "
    "left right top bottom middle front back upper lower corner near far behind "
    "big large small little tall short long old young standing sitting "
    "person man woman boy girl child people guy lady kid baby shirt hat jacket "
    "dog cat horse cow sheep elephant bear zebra giraffe bird "
    "car truck bus train bike motorcycle boat plane "
    "chair couch table bed bench bowl cup glass bottle plate pizza sandwich cake "
    "banana apple carrot umbrella bag suitcase phone laptop screen keyboard book vase clock"
)
ATTRIBUTES = tuple(ATTRIBUTE_WORDS.split())
"""Default attribute words: colours, sizes, positions and objects that are frequent in RefCOCO."""


class PhraseClick(DeepLab):
    """A DeepLabv3+ with five input channels (equation 1) and attribute attention over ASPP's features (2 to 5).

    Equations 6 and 7 are computed as means over pixels and over words, unless the recipe asks for sums. A prompt may
    have clicks, a phrase or both: without clicks the distance maps are at their limit, without a phrase its encoding is
    zeros. As in the paper, the previous mask is not used.

    Args:
        backbone: a model of timm.
        channels: the paper's #C.
        stride: the output stride of the backbone, 8 or 16.
        hidden: size of the bi-LSTM's state in each direction, which the paper does not give.
        attributes: the N words of equation 7.
        attribute_weight: omega_a of equation 7; omega_m is the loss weight in the recipe.
        attribute_reduction: "mean" over phrases and words, or "sum" over words, as equation 7 has it, and a mean over
            the images of a batch; the latter belongs to a mask loss that is summed over pixels.
        limit: pixels at which distance maps are truncated, half of the side that the paper's images have.
        new_layer_std: standard deviation of the initial weights of the first layer's new input channels.
        words: a word2vec or GloVe file instead of the shipped words.
    """

    phrases = True
    renamed_parameters: ClassVar[Mapping[str, str]] = {"said": "word_counts"}
    word_counts: Tensor

    def __init__(
        self,
        backbone: str = "resnet101",
        channels: int = 512,
        stride: int = 16,
        hidden: int = 256,
        attributes: Sequence[str] = ATTRIBUTES,
        attribute_weight: float = 10.0,
        words: str | None = None,
        attribute_reduction: str = "mean",
        limit: float = LIMIT,
        new_layer_std: float = NEW_LAYER_STD,
    ) -> None:
        super().__init__(backbone, 2, channels, stride)
        self.words = load_words(words)
        self.reader = PhraseEncoder(hidden, self.words)
        self.attention = AttributeAttention(channels, 2 * hidden)
        if attribute_reduction not in ("mean", "sum"):
            raise SaywhereError(f"attribute_reduction '{attribute_reduction}': choose mean, sum")
        self.limit = limit
        self.attribute_weight, self.attribute_reduction = attribute_weight, attribute_reduction
        self.attributes = known_attributes(attributes, self.reader.words)
        self.naming = nn.Linear(channels, len(self.attributes)) if self.attributes else None
        # How often each attribute word occurred in training; see word_weights.
        self.register_buffer("word_counts", torch.zeros(len(self.attributes)))
        # The new layers without a batch norm after them: with one, the scale would not matter.
        with torch.no_grad():
            first_conv = next(m for m in self.encoder.modules() if isinstance(m, nn.Conv2d))
            first_conv.weight[:, 3:].normal_(std=new_layer_std)
            for layer in (self.head, self.naming):
                if layer is not None and layer.bias is not None:
                    layer.weight.normal_(std=NEW_LAYER_STD)
                    layer.bias.zero_()

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        (image,) = features.levels["image"]
        fine, context = self.fuse_early(image, distance_maps(prompts, features.size, self.limit).to(image.device))
        phrases = self.reader([prompt.phrase for prompt in prompts])
        weights = self.attention.attributes(context, phrases.context)
        if self.training:
            # The attribute loss needs them.
            features.cache["attributes"] = (weights,)
        return self.predict(fine, self.attention.weigh(context, weights), features.size)

    def auxiliary_loss(
        self, features: Features, prompts: list[Prompt], supervision: Sequence[PhraseSupervision], labels: Words
    ) -> Tensor:
        """omega_a times equation 7, over the images with a phrase, with the attribute weights of the last decoding."""
        rows = [row for row, prompt in enumerate(prompts) if prompt.phrase]
        if self.naming is None or not rows or "attributes" not in features.cache:
            return features.levels["image"][0].new_zeros(())
        (weights,) = features.cache["attributes"]
        present = self.attribute_labels([prompts[row].phrase for row in rows]).to(weights)
        if self.training:
            self.word_counts += present.sum(0)
        logits, word_weights = self.naming(weights[rows]).float(), self.word_weights()
        loss = attribute_loss(logits, present, word_weights, self.attribute_reduction)
        return self.attribute_weight * (loss / len(prompts) if self.attribute_reduction == "sum" else loss)

    def attribute_labels(self, phrases: Sequence[str | None]) -> Tensor:
        """Which attribute words, or their plurals, are in which phrase.

        Returns:
            ``(B, N)``, 1 where a phrase has an attribute word, else 0.
        """
        words = [words_and_singulars(phrase or "") for phrase in phrases]
        return torch.tensor([[float(attribute in each) for attribute in self.attributes] for each in words])

    def word_weights(self) -> Tensor:
        """The weights w of equation 7: inverse square roots of the words' frequencies, scaled to a mean of 1.

        The paper does not give them. MAttNet (Yu et al. 2018), its source for attributes, has these.

        Returns:
            ``(N,)``.
        """
        weights = self.word_counts.float().clamp_min(1.0).rsqrt()
        return weights / weights.mean()


def known_attributes(attributes: Sequence[str], words: Words) -> list[str]:
    """Attribute words in lower case, without duplicates.

    Raises:
        SaywhereError: ``words`` does not contain one of them.
    """
    unknown = [word for word in attributes if words.find_row(normalise(word)) is None]
    if unknown:
        raise SaywhereError(f"attributes {', '.join(unknown[:5])}: not in the table of words; give single known words")
    return list(dict.fromkeys(map(normalise, attributes)))


def words_and_singulars(phrase: str) -> set[str]:
    """The words of a phrase in lower case, and the words that they may be plurals of."""
    words = {part for word in WORD_PATTERN.findall(normalise(phrase)) for part in word.split("-")}
    return words | {
        word.removesuffix(ending) + replacement
        for word in words
        for ending, replacement in PLURAL_ENDINGS
        if word.endswith(ending)
    }


def distance_maps(prompts: Sequence[Prompt], shape: tuple[int, int], limit: float = LIMIT) -> Tensor:
    """D+ and D- of equation 1, divided by their limit.

    Args:
        prompts: one for each image.
        shape: height and width of the images.
        limit: pixels at which they are truncated.

    Returns:
        ``(B, 2, H, W)`` in [0, 1]; 1 everywhere without clicks.
    """
    drawn = [guidance.maps(prompt, shape, "euclidean", limit=limit) for prompt in prompts]
    return torch.from_numpy(np.stack(drawn) / np.float32(limit))
