"""Phrases in a network: a bi-LSTM over word vectors, and attention over channels.

PhraseClick (Ding et al. 2020), section 3.4, equations 2 to 5.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from saywhere.text.words import Words, shipped_words


@dataclass(frozen=True)
class EncodedPhrases:
    """The phrases of a batch of images.

    Attributes:
        context: ``(B, 2 * hidden)`` the bi-LSTM's last state in both directions; zeros without a known word.
        meaning: ``(B, D)`` the (weighted) mean of the word vectors, of length 1; zeros without a known word.
        present: ``(B,)`` 1 where a phrase has a known word, else 0.
        any_present: whether ``present`` is 1 anywhere; reading it does not synchronise with the device.
    """

    context: Tensor
    meaning: Tensor
    present: Tensor
    any_present: bool = True


class PhraseEncoder(nn.Module):
    """Encodes phrases (PhraseClick, equation 2).

    Args:
        hidden: size of the bi-LSTM's state in one direction.
        words: the word vectors; the shipped ones if None.
        weigh: whether ``meaning`` is a weighted mean whose weights come from the bi-LSTM's states, so that "man" can
            weigh most in "man with a red hat". The initial weights are equal.
    """

    def __init__(self, hidden: int = 64, words: Words | None = None, weigh: bool = False) -> None:
        super().__init__()
        self.words = words or shipped_words()
        self.hidden = hidden
        self.lstm = nn.LSTM(self.words.dimensions, hidden, batch_first=True, bidirectional=True)
        self.weight = nn.Linear(2 * hidden, 1) if weigh else None
        if self.weight is not None:
            nn.init.zeros_(self.weight.weight)
            nn.init.zeros_(self.weight.bias)

    def forward(self, phrases: Sequence[str | None]) -> EncodedPhrases:
        """Encode a batch of phrases, of which some may be None."""
        device = next(self.lstm.parameters()).device
        vectors = [self.words.phrase_vectors(phrase) for phrase in phrases]
        lengths = [len(each) for each in vectors]
        present = torch.tensor([float(n > 0) for n in lengths]).to(device, non_blocking=True)
        meaning = torch.from_numpy(np.stack([self.words.phrase_vector(phrase) for phrase in phrases]))
        meaning = meaning.to(device, non_blocking=True)
        if not any(lengths):
            return EncodedPhrases(torch.zeros(len(phrases), 2 * self.hidden, device=device), meaning, present, False)
        padded = np.zeros((len(phrases), max(lengths), self.words.dimensions), np.float32)
        for row, each in zip(padded, vectors, strict=True):
            row[: len(each)] = each
        batch = torch.from_numpy(padded).to(device, non_blocking=True)
        # The LSTM needs at least one word: a phrase without known ones is a zero vector, and is masked afterwards.
        counts = torch.tensor([max(n, 1) for n in lengths])
        packed = pack_padded_sequence(batch, counts, batch_first=True, enforce_sorted=False)
        states, (last, _) = self.lstm(packed)
        context = torch.cat([last[0], last[1]], 1).float() * present[:, None]
        if self.weight is not None:
            is_padding = torch.arange(batch.shape[1])[None] >= counts[:, None]
            states = pad_packed_sequence(states, batch_first=True)[0].float()
            meaning = self._weighted_mean(batch, states, is_padding.to(device, non_blocking=True))
        return EncodedPhrases(context, meaning, present)

    def encode_words(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Encode one phrase from the vectors of its words.

        Args:
            vectors: ``(1, T, D)``; T is at least 1.

        Returns:
            ``context`` and ``meaning`` of :class:`EncodedPhrases`.
        """
        states, (last, _) = self.lstm(vectors)
        context = torch.cat([last[0], last[1]], 1)
        if self.weight is None:
            return context, F.normalize(vectors.mean(1), dim=1)
        return context, self._weighted_mean(vectors, states, None)

    def _weighted_mean(self, vectors: Tensor, states: Tensor, is_padding: Tensor | None) -> Tensor:
        """The weighted mean ``(B, D)``, of length 1, of word vectors ``(B, T, D)`` with states ``(B, T, 2H)``."""
        assert self.weight is not None
        scores = self.weight(states)[..., 0]
        if is_padding is not None:
            scores = scores.masked_fill(is_padding, -torch.inf)
        return F.normalize((scores.softmax(1)[..., None] * vectors).sum(1), dim=1)


class AttributeAttention(nn.Module):
    """Weighs the channels of a feature map by phrase and image (PhraseClick, equations 3 to 5).

    Args:
        channels: of the feature map.
        context: length of the phrases' context vectors.

    Attributes:
        gate: the paper's learnable beta. The paper does not give its initial value; here it is 0, so that adding the
            attention to a trained network does not change its masks.
    """

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        self.adapt = nn.Linear(context + channels, channels)
        self.norm = nn.BatchNorm1d(channels)
        self.gate = nn.Parameter(torch.zeros(()))

    def attributes(self, features: Tensor, context: Tensor) -> Tensor:
        """The attribute weights A of equation 4.

        Args:
            features: ``(B, C, h, w)``.
            context: ``(B, context)``, see :class:`EncodedPhrases`.

        Returns:
            ``(B, C)`` in [-1, 1].
        """
        pooled = features.mean((2, 3)).float()
        return torch.tanh(self.norm(self.adapt(torch.cat([context, pooled], 1))))

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """Equations 3 to 5; arguments as for :meth:`attributes`."""
        return self.weigh(features, self.attributes(features, context))

    def weigh(self, features: Tensor, weights: Tensor) -> Tensor:
        """Equation 5: weigh features ``(B, C, h, w)`` by attribute weights ``(B, C)``."""
        return features + self.gate * weights[:, :, None, None].to(features.dtype) * features


def attribute_loss(logits: Tensor, present: Tensor, weights: Tensor, reduction: str = "mean") -> Tensor:
    """Binary cross-entropy of the attribute words (PhraseClick, equation 7, whose sign in the paper is wrong).

    Args:
        logits: ``(B, N)``, that a phrase has each word.
        present: ``(B, N)``, 1 where it has the word, else 0.
        weights: ``(N,)``, of the words.
        reduction: "mean" over phrases and words, or "sum" over them.
    """
    return F.binary_cross_entropy_with_logits(logits, present, weight=weights.expand_as(logits), reduction=reduction)
