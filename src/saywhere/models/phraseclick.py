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

LIMIT = 255.0  # pixels at which distance maps are cut off (Xu et al. 2016)
NEW = 1e-2  # standard deviation that new layers start with (section 4.1)
# Attribute words when none are given: colours, sizes and places, as people refer to things in RefCOCO, and its things.
COMMON = (
    "black white grey red orange yellow green blue purple pink brown dark light striped "
    "left right top bottom middle front back upper lower corner near far behind "
    "big large small little tall short long old young standing sitting "
    "person man woman boy girl child people guy lady kid baby shirt hat jacket "
    "dog cat horse cow sheep elephant bear zebra giraffe bird "
    "car truck bus train bike motorcycle boat plane "
    "chair couch table bed bench bowl cup glass bottle plate pizza sandwich cake "
    "banana apple carrot umbrella bag suitcase phone laptop screen keyboard book vase clock"
)
ATTRIBUTES = tuple(COMMON.split())


class PhraseClick(DeepLab):
    """A DeepLabv3+ of five channels (equation 1) whose ASPP features are weighed by attribute attention (2 to 5).

    Equations 6 and 7 are taken as means, over pixels and over words. Clicks alone, a phrase alone and both together are
    prompts: without clicks the maps are at their limit, without a phrase its encoding is zeros. The previous mask is
    not used: the paper has none.

    Args:
        backbone: a model of timm.
        channels: the paper's #C.
        stride: the output stride of the backbone, 8 or 16.
        hidden: the width of the bi-LSTM in each direction, which the paper does not give.
        attributes: the N words of equation 7.
        attribute_weight: omega_a of equation 7; omega_m is the loss weight in the recipe.
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
    ) -> None:
        super().__init__(backbone, 2, channels, stride)
        self.words = load_words(words)
        self.reader = PhraseEncoder(hidden, self.words)
        self.attention = AttributeAttention(channels, 2 * hidden)
        self.attribute_weight = attribute_weight
        self.attributes = known_attributes(attributes, self.reader.words)
        self.naming = nn.Linear(channels, len(self.attributes)) if self.attributes else None
        # How often each attribute occurred in training: the rarer a word, the more it weighs.
        self.register_buffer("word_counts", torch.zeros(len(self.attributes)))
        # Of the new layers, those that no batch norm follows: only their scale matters.
        with torch.no_grad():
            first = next(m for m in self.encoder.modules() if isinstance(m, nn.Conv2d))
            first.weight[:, 3:].normal_(std=NEW)
            for layer in (self.head, self.naming):
                if layer is not None and layer.bias is not None:
                    layer.weight.normal_(std=NEW)
                    layer.bias.zero_()

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        (image,) = features.levels["image"]
        fine, context = self.fuse_early(image, distance_maps(prompts, features.size).to(image.device))
        phrases = self.reader([prompt.phrase for prompt in prompts])
        weights = self.attention.attributes(context, phrases.context)
        if self.training:
            # For the attribute loss, so that the network is not run again.
            features.cache["attributes"] = (weights,)
        return self.predict(fine, self.attention.weigh(context, weights), features.size)

    def auxiliary_loss(
        self, features: Features, prompts: list[Prompt], supervision: Sequence[PhraseSupervision], labels: Words
    ) -> Tensor:
        """omega_a times equation 7, of the last decoding and over the images with a phrase."""
        rows = [row for row, prompt in enumerate(prompts) if prompt.phrase]
        if self.naming is None or not rows or "attributes" not in features.cache:
            return features.levels["image"][0].new_zeros(())
        (weights,) = features.cache["attributes"]
        present = self.present([prompts[row].phrase for row in rows]).to(weights)
        if self.training:
            self.word_counts += present.sum(0)
        return self.attribute_weight * attribute_loss(self.naming(weights[rows]).float(), present, self.balance())

    def present(self, phrases: Sequence[str | None]) -> Tensor:
        """Which attribute words, or their plurals, are in which phrase.

        Returns:
            ``(B, N)``, 1 where a phrase has an attribute word, else 0.
        """
        words = [words_and_singulars(phrase or "") for phrase in phrases]
        return torch.tensor([[float(attribute in each) for attribute in self.attributes] for each in words])

    def balance(self) -> Tensor:
        """The weights w of equation 7, ``(N,)``: one over the root of how often a word occurred, of mean 1.

        The paper does not give them; these are those of MAttNet (Yu et al. 2018), its source for attributes.
        """
        rarity = self.word_counts.float().clamp_min(1.0).rsqrt()
        return rarity / rarity.mean()


def known_attributes(attributes: Sequence[str], words: Words) -> list[str]:
    """Attribute words in lower case, each once; SaywhereError names those that a table of vectors lacks."""
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


def distance_maps(prompts: Sequence[Prompt], shape: tuple[int, int]) -> Tensor:
    """D+ and D- of equation 1, over their limit: ``(B, 2, H, W)`` in [0, 1], 1 everywhere without clicks."""
    drawn = [guidance.maps(prompt, shape, "euclidean", limit=LIMIT) for prompt in prompts]
    return torch.from_numpy(np.stack(drawn) / np.float32(LIMIT))
