"""Where in a photograph a phrase applies, without a CLIP: two sources to choose from.

Text+Click (Warner et al. 2023) gives its network such a map as a channel; there it comes from MaskCLIP.
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

TEMPERATURE = 0.07  # of cosines between pixels and words; CLIP's
NEAR = 0.1  # how alike, as a cosine, a class's name must be to the best match to count as what was said


class LearnedRelevance(nn.Module):
    """Pixels and phrases in one space: their cosine says how well the phrase fits the pixel.

    ``embed`` runs once per image; a phrase then costs one product. "left", "right" and the like tilt the map by a
    plane that the reader's context gives.
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
        """``(B, C, h, w)`` features to vectors of length 1 ``(B, D, h, w)``."""
        return F.normalize(self.pixels(features), dim=1)

    def forward(self, embedded: Tensor, phrases: EncodedPhrases) -> Tensor:
        """Logits of the phrase applying to each pixel: ``(B, 1, h, w)``; 0 where nothing was said."""
        b, _, h, w = embedded.shape
        meaning = F.normalize(self.words(phrases.meaning), dim=1)
        cosine = torch.einsum("bdhw,bd->bhw", embedded.float(), meaning.float())[:, None]
        tilt = self.plane(phrases.context).float()
        x = torch.linspace(-1.0, 1.0, w, device=embedded.device).expand(b, 1, h, w)
        y = torch.linspace(-1.0, 1.0, h, device=embedded.device)[:, None].expand(b, 1, h, w)
        plane = tilt[:, 0, None, None, None] * x + tilt[:, 1, None, None, None] * y
        logits = self.sharpness * cosine + self.offset + plane
        return logits * phrases.present[:, None, None, None]

    def label_contrast_loss(
        self, embedded: Tensor, named: Sequence[Sequence[tuple[str, NDArray[np.bool_]]]], labels: Words
    ) -> Tensor:
        """How well labelled pixels tell their label from all others (cross-entropy over ``labels``).

        ``named`` are for each image its labels and where they are, ``(h, w)`` bool; ``labels`` holds the vector of
        every label of the training data. A pixel with several labels (a shoe is also person) is asked for one of them
        by chance, and the others do not count against it.
        """
        b, _, h, w = embedded.shape
        known = [
            (image * len(labels.rows) + labels.rows[label], where)
            for image, some in enumerate(named)
            for label, where in some
            if label in labels.rows
        ]
        if not known:
            return embedded.sum() * 0.0
        places = torch.tensor([place for place, _ in known]).to(embedded.device, non_blocking=True)
        masks = torch.from_numpy(np.stack([where for _, where in known])).to(embedded.device, non_blocking=True)
        present = torch.zeros(b * len(labels.rows), h, w, dtype=torch.uint8, device=embedded.device)
        present = present.index_add_(0, places, masks.to(torch.uint8)).view(b, -1, h, w) > 0
        rows, ys, xs = torch.nonzero(present.any(1), as_tuple=True)
        if not len(rows):
            return embedded.sum() * 0.0
        has = present[rows, :, ys, xs]
        chosen = (torch.rand(has.shape, device=has.device) * has).argmax(1)
        vectors = F.normalize(
            self.words(torch.from_numpy(labels.vectors).to(embedded.device, non_blocking=True)), dim=1
        )
        cosine = embedded.float()[rows, :, ys, xs] @ vectors.float().T
        others = has.scatter(1, chosen[:, None], False)
        return F.cross_entropy((cosine / TEMPERATURE).masked_fill(others, -1e4), chosen)


class ClassifierRelevance(nn.Module):
    """The backbone's own ImageNet classifier at every place, its 1,000 names matched to the phrase by word vectors.

    It knows what ImageNet names and nothing of persons, clothes or parts; nothing is learned.
    """

    def __init__(self, channels: int = 320, width: int = 1280, words: Words | None = None) -> None:
        super().__init__()
        self.conv_head = nn.Conv2d(channels, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.classifier = nn.Linear(width, 1000)
        self.register_buffer("names", torch.from_numpy(class_vectors(words or shipped_words())), persistent=False)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> ClassifierRelevance:
        """Nothing here learns, so its statistics stay too."""
        return super().train(False)

    def embed(self, features: Tensor) -> Tensor:
        """The backbone's last level ``(B, C, h, w)`` to class probabilities ``(B, 1000, h, w)``."""
        hidden = F.relu6(self.bn2(self.conv_head(features)))
        logits = torch.einsum("bchw,kc->bkhw", hidden.float(), self.classifier.weight.float())
        return (logits + self.classifier.bias.float()[:, None, None]).softmax(1)

    def forward(self, embedded: Tensor, phrases: EncodedPhrases) -> Tensor:
        """Logits of the probability that a pixel's class is near to the phrase: ``(B, 1, h, w)``."""
        names: Any = self.names
        alike = phrases.meaning @ names.T
        fits = torch.softmax((alike - alike.amax(1, keepdim=True)) / NEAR, 1)
        fits = fits / fits.amax(1, keepdim=True)
        chance = torch.einsum("bkhw,bk->bhw", embedded, fits)[:, None]
        # The best place of the photograph counts as sure: a class shares its probability with its likes.
        chance = (chance / chance.amax((2, 3), keepdim=True).clamp_min(0.05)).clamp(1e-3, 1.0 - 1e-3)
        return torch.logit(chance) * phrases.present[:, None, None, None]


def class_vectors(words: Words) -> np.ndarray[Any, np.dtype[np.float32]]:
    """The names of ImageNet's classes, in timm's order, as vectors of length 1: ``(1000, D)``."""
    from timm.data.imagenet_info import ImageNetInfo

    return np.stack(
        [words.phrase_vector(name.split(",")[0]) for name in ImageNetInfo("imagenet-1k").label_descriptions()]
    )
