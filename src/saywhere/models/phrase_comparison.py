"""Where a phrase applies in the features of our network: its relevance maps, and the loss that trains them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from saywhere.core.image_tokens import MULTIPLE
from saywhere.core.prompt import Prompt
from saywhere.errors import NoMapError
from saywhere.models.base import Features, PurifyingModel
from saywhere.models.layers.attention import enlarge
from saywhere.models.layers.class_losses import teacher_loss
from saywhere.models.layers.clicks import to_device
from saywhere.models.layers.phrase import EncodedPhrases, PhraseEncoder
from saywhere.models.layers.relevance import ClassifierRelevance, LearnedRelevance
from saywhere.models.losses import balanced_bce
from saywhere.models.targets import PhraseSupervision
from saywhere.text.words import Words

LABEL_CONTRAST_WEIGHT = 0.3  # of the label contrast loss, relative to the loss of the relevance map


class PhraseComparingModel(PurifyingModel):
    """A network that compares phrases with its features.

    Attributes:
        phrase_encoder: None for a network without phrases.
        learned_relevance: the source that is trained, if it has one.
        classifier_relevance: the source that is an ImageNet classifier, if it has one.
        relevance_of_backbone: whether the learned source also sees the backbone's coarsest level.
        relevance_of_tokens: whether it also sees the tokens.
    """

    phrase_encoder: PhraseEncoder | None
    learned_relevance: LearnedRelevance | None
    classifier_relevance: ClassifierRelevance | None
    relevance_of_backbone: bool
    relevance_of_tokens: bool

    @property
    def relevance_sources(self) -> int:
        """How many relevance maps a phrase has."""
        return (self.learned_relevance is not None) + (self.classifier_relevance is not None)

    def relevance(self, features: Features, phrase: str) -> Tensor:
        if self.phrase_encoder is None or not self.relevance_maps:
            raise NoMapError(f"phrase {phrase!r}: these weights have no relevance map")
        h, w = features.size
        padded = h + -h % MULTIPLE, w + -w % MULTIPLE
        logits = self._relevance_logits(features, self.phrase_encoder([phrase]))
        probability = F.interpolate(logits.sigmoid(), size=padded, mode="bilinear", align_corners=False)
        return probability.mean(1, keepdim=True)[..., :h, :w]

    def relevance_features(
        self, pure: Sequence[Tensor], coarsest_raw: Tensor, tokens: Tensor | None = None
    ) -> tuple[Tensor, ...]:
        """Embed the image for the comparison with phrases.

        Args:
            pure: the four purified levels.
            coarsest_raw: the backbone's level at stride 32.
            tokens: those of a network with ``relevance_of_tokens``.

        Returns:
            A tensor for each relevance source.
        """
        maps = []
        if self.learned_relevance is not None:
            levels = [pure[1], enlarge(pure[2], 2.0), enlarge(pure[3], 4.0)]
            if self.relevance_of_backbone:
                levels.append(enlarge(coarsest_raw, 4.0))
            if self.relevance_of_tokens and tokens is not None:
                levels.append(enlarge(tokens))
            maps.append(self.learned_relevance.embed(torch.cat(levels, 1)))
        if self.classifier_relevance is not None:
            maps.append(self.classifier_relevance.embed(coarsest_raw))
        return tuple(maps)

    def phrase_logits(self, maps: Sequence[Tensor], phrases: EncodedPhrases) -> Tensor:
        """Compare phrases with the image.

        Args:
            maps: what :meth:`relevance_features` returned.
            phrases: one for each image.

        Returns:
            ``(B, S, H/8, W/8)`` logits that the phrase applies, for each of S relevance sources; 0 without a phrase.
        """
        logits = []
        if self.learned_relevance is not None:
            logits.append(self.learned_relevance(maps[0], phrases))
        if self.classifier_relevance is not None:
            logits.append(enlarge(self.classifier_relevance(maps[-1], phrases), 4.0))
        return torch.cat(logits, 1)

    def _cached_relevance_features(self, features: Features) -> tuple[Tensor, ...]:
        if "relevance_features" not in features.cache:
            pure, raw = features.levels["pure"], features.levels["raw"]
            features.cache["relevance_features"] = self.relevance_features(pure, *raw[len(self.strides) - 1 :])
        return features.cache["relevance_features"]

    def _relevance_logits(self, features: Features, phrases: EncodedPhrases | None) -> Tensor:
        """See :meth:`phrase_logits`."""
        like = features.levels["pure"][1]
        if not self.relevance_maps or phrases is None or not phrases.any_present:
            return like.new_zeros(len(like), self.relevance_sources, *like.shape[2:])
        return self.phrase_logits(self._cached_relevance_features(features), phrases)

    def auxiliary_loss(
        self, features: Features, prompts: list[Prompt], supervision: Sequence[PhraseSupervision], labels: Words
    ) -> Tensor:
        """The loss of the relevance map: label contrast, and cross-entropy with the regions where phrases apply.

        In the cross-entropy both classes have the same weight, because most phrases apply to a small part of an image.
        """
        if self.learned_relevance is None or self.phrase_encoder is None:
            return features.levels["pure"][0].new_zeros(())
        embedded = self._cached_relevance_features(features)[0]
        contrast = self.learned_relevance.label_contrast_loss(embedded, [each.regions for each in supervision], labels)
        logits = self.learned_relevance(embedded, self.phrase_encoder([p.phrase for p in prompts]))
        loss = LABEL_CONTRAST_WEIGHT * contrast + teacher_loss(
            self.learned_relevance, self.phrase_encoder, embedded, [each.classes for each in supervision]
        )
        rows = [row for row, each in enumerate(supervision) if each.target is not None]
        if not rows:
            return loss
        targets = np.stack([each.target for each in supervision if each.target is not None])[:, None]
        target = to_device(targets, logits.device).to(logits.dtype)
        return loss + balanced_bce(logits[rows], target, torch.ones_like(target)).mean()
