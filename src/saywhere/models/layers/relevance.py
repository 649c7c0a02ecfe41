"""Relevance maps of our network: two sources that need no CLIP.

In Text+Click (Warner et al. 2023) such a map, from MaskCLIP, is an input channel of the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.models.layers.phrase import EncodedPhrases
from saywhere.text.words import Words, shipped_words

TEMPERATURE = 0.07  # of the cosines between pixels and labels, as in CLIP
NAME_TEMPERATURE = 0.1  # of the cosines between class names and the phrase


class LearnedRelevance(nn.Module):
    """Embeds pixels and phrases in one space and compares them by cosine similarity.

    :meth:`embed` runs once for an image; each phrase then needs one product. For words like "left" a plane over the
    image, whose slopes are computed from the phrase's context, is added to the logits.

    Args:
        channels: of the features that pixels are embedded from.
        context: length of the phrases' context vectors.
        dimensions: of the common space.
        width: channels of the hidden layers.
        words: the word vectors; the shipped ones if None.
    """

    def __init__(
        self, channels: int, context: int, dimensions: int = 64, width: int = 96, words: Words | None = None
    ) -> None:
        super().__init__()
        self.pixels = nn.Sequential(
            nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU(inplace=True),
            nn.Conv2d(width, dimensions, 1),
        )  # fmt: skip
        self.words = nn.Linear((words or shipped_words()).dimensions, dimensions)
        self.plane = nn.Linear(context, 2)
        self.sharpness = nn.Parameter(torch.tensor(8.0))
        self.offset = nn.Parameter(torch.tensor(-3.0))

    def embed(self, features: Tensor) -> Tensor:
        """Embed the pixels of features ``(B, C, h, w)``: ``(B, D, h, w)`` of length 1."""
        return F.normalize(self.pixels(features), dim=1)

    def forward(self, embedded: Tensor, phrases: EncodedPhrases) -> Tensor:
        """Logits ``(B, 1, h, w)`` that the phrase applies to each pixel; 0 for images without a phrase.

        Args:
            embedded: what :meth:`embed` returned.
            phrases: one for each image.
        """
        b, _, h, w = embedded.shape
        meaning = F.normalize(self.words(phrases.meaning), dim=1)
        cosine = torch.einsum("bdhw,bd->bhw", embedded.float(), meaning.float())[:, None]
        slopes = self.plane(phrases.context).float()
        x = torch.linspace(-1.0, 1.0, w, device=embedded.device).expand(b, 1, h, w)
        y = torch.linspace(-1.0, 1.0, h, device=embedded.device)[:, None].expand(b, 1, h, w)
        plane = slopes[:, 0, None, None, None] * x + slopes[:, 1, None, None, None] * y
        logits = self.sharpness * cosine + self.offset + plane
        return logits * phrases.present[:, None, None, None]

    def label_contrast_loss(
        self, embedded: Tensor, regions: Sequence[Sequence[tuple[str, NDArray[np.bool_]]]], labels: Words
    ) -> Tensor:
        """Cross-entropy of each labelled pixel's label among all labels of the training data.

        A pixel may have several labels (a shoe is also part of a person): then a random one is the target, and the
        others are not used as negatives.

        Args:
            embedded: what :meth:`embed` returned.
            regions: for each image its labels with their masks ``(h, w)``.
            labels: all labels of the training data with their vectors.

        Returns:
            The mean over the labelled pixels; 0 without any.
        """
        b, _, h, w = embedded.shape
        labelled = [
            (image * len(labels.rows) + labels.rows[label], mask)
            for image, image_regions in enumerate(regions)
            for label, mask in image_regions
            if label in labels.rows
        ]
        if not labelled:
            return embedded.sum() * 0.0
        indices = torch.tensor([index for index, _ in labelled]).to(embedded.device, non_blocking=True)
        masks = torch.from_numpy(np.stack([mask for _, mask in labelled])).to(embedded.device, non_blocking=True)
        present = torch.zeros(b * len(labels.rows), h, w, dtype=torch.uint8, device=embedded.device)
        present = present.index_add_(0, indices, masks.to(torch.uint8)).view(b, -1, h, w) > 0
        rows, ys, xs = torch.nonzero(present.any(1), as_tuple=True)
        if not len(rows):
            return embedded.sum() * 0.0
        present = present[rows, :, ys, xs]
        chosen = (torch.rand(present.shape, device=present.device) * present).argmax(1)
        vectors = F.normalize(
            self.words(torch.from_numpy(labels.vectors).to(embedded.device, non_blocking=True)), dim=1
        )
        cosine = embedded.float()[rows, :, ys, xs] @ vectors.float().T
        others = present.scatter(1, chosen[:, None], False)
        return F.cross_entropy((cosine / TEMPERATURE).masked_fill(others, -1e4), chosen)


class ClassifierRelevance(nn.Module):
    """Applies the backbone's ImageNet classifier to each cell and compares the 1,000 class names with the phrase.

    Names and phrase are compared by their word vectors. Nothing is trained. It only knows ImageNet's classes: no people
    and hardly any clothes or parts.

    Args:
        channels: of the backbone's last level.
        width: channels of the classifier's input.
        words: the word vectors; the shipped ones if None.
    """

    def __init__(self, channels: int = 320, width: int = 1280, words: Words | None = None) -> None:
        super().__init__()
        self.conv_head = nn.Conv2d(channels, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, 1000)
        self.register_buffer("names", torch.from_numpy(class_vectors(words or shipped_words())), persistent=False)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> ClassifierRelevance:
        """Always stay in evaluation mode, with frozen batch-norm statistics."""
        return super().train(False)

    def embed(self, features: Tensor) -> Tensor:
        """Class probabilities ``(B, 1000, h, w)`` from the backbone's last level ``(B, C, h, w)``."""
        hidden = F.relu6(self.bn2(self.conv_head(features)))
        logits = torch.einsum("bchw,kc->bkhw", hidden.float(), self.classifier.weight.float())
        return (logits + self.classifier.bias.float()[:, None, None]).softmax(1)

    def forward(self, embedded: Tensor, phrases: EncodedPhrases) -> Tensor:
        """Logits ``(B, 1, h, w)`` that a cell's class is similar to the phrase; 0 for images without a phrase.

        Args:
            embedded: what :meth:`embed` returned.
            phrases: one for each image.
        """
        names: Any = self.names
        cosine = phrases.meaning @ names.T
        weights = torch.softmax((cosine - cosine.amax(1, keepdim=True)) / NAME_TEMPERATURE, 1)
        weights = weights / weights.amax(1, keepdim=True)
        probability = torch.einsum("bkhw,bk->bhw", embedded, weights)[:, None]
        # Similar classes share a cell's probability, so it is scaled to 1 in the best cell.
        probability = (probability / probability.amax((2, 3), keepdim=True).clamp_min(0.05)).clamp(1e-3, 1.0 - 1e-3)
        return torch.logit(probability) * phrases.present[:, None, None, None]


def class_vectors(words: Words) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The phrase vectors ``(1000, D)`` of the names of ImageNet's classes, in timm's order."""
    from timm.data.imagenet_info import ImageNetInfo

    return np.stack(
        [words.phrase_vector(name.split(",")[0]) for name in ImageNetInfo("imagenet-1k").label_descriptions()]
    )
