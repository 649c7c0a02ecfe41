"""Phrases in a network: word vectors through a bi-LSTM, and attention over channels.

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
        meaning: ``(B, D)`` the mean word vector, weighed or not, of length 1; zeros without a known word.
        present: ``(B,)`` 1 where a phrase has a known word, else 0.
        any_present: whether any has, known without asking the device.
    """

    context: Tensor
    meaning: Tensor
    present: Tensor
    any_present: bool = True


class PhraseEncoder(nn.Module):
    """Phrases to :class:`EncodedPhrases`; equation 2 of PhraseClick.

    Args:
        hidden: size of the bi-LSTM's state in one direction.
        words: the word vectors; those that ship if None.
        weigh: whether the bi-LSTM says how much each word counts in ``meaning``: in "man with a red hat" the man
            counts. At first all words count alike.
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
        device = next(self.lstm.parameters()).device
        vectors = [self.words.phrase_vectors(phrase) for phrase in phrases]
        lengths = [len(some) for some in vectors]
        present = torch.tensor([float(n > 0) for n in lengths]).to(device, non_blocking=True)
        meaning = torch.from_numpy(np.stack([self.words.phrase_vector(phrase) for phrase in phrases]))
        meaning = meaning.to(device, non_blocking=True)
        if not any(lengths):
            return EncodedPhrases(torch.zeros(len(phrases), 2 * self.hidden, device=device), meaning, present, False)
        padded = np.zeros((len(phrases), max(lengths), self.words.dimensions), np.float32)
        for row, some in zip(padded, vectors, strict=True):
            row[: len(some)] = some
        batch = torch.from_numpy(padded).to(device, non_blocking=True)
        # A phrase without words passes as one word of zeros and is masked afterwards.
        counts = torch.tensor([max(n, 1) for n in lengths])
        packed = pack_padded_sequence(batch, counts, batch_first=True, enforce_sorted=False)
        states, (last, _) = self.lstm(packed)
        context = torch.cat([last[0], last[1]], 1).float() * present[:, None]
        if self.weight is not None:
            beyond = torch.arange(batch.shape[1])[None] >= counts[:, None]
            states = pad_packed_sequence(states, batch_first=True)[0].float()
            meaning = self._weighed_mean(batch, states, beyond.to(device, non_blocking=True))
        return EncodedPhrases(context, meaning, present)

    def encode_words(self, vectors: Tensor) -> tuple[Tensor, Tensor]:
        """Encode one phrase.

        Args:
            vectors: ``(1, T, D)`` of its known words; T is at least 1.

        Returns:
            ``context`` and ``meaning`` of :class:`EncodedPhrases`.
        """
        states, (last, _) = self.lstm(vectors)
        context = torch.cat([last[0], last[1]], 1)
        if self.weight is None:
            return context, F.normalize(vectors.mean(1), dim=1)
        return context, self._weighed_mean(vectors, states, None)

    def _weighed_mean(self, vectors: Tensor, states: Tensor, beyond: Tensor | None) -> Tensor:
        assert self.weight is not None
        scores = self.weight(states)[..., 0]
        if beyond is not None:
            scores = scores.masked_fill(beyond, -torch.inf)
        return F.normalize((scores.softmax(1)[..., None] * vectors).sum(1), dim=1)


class AttributeAttention(nn.Module):
    """Channels of a feature map made stronger or weaker by phrase, clicks and picture: PhraseClick, equations 3 to 5.

    ``gate`` is the paper's learnable beta. The paper does not say where it starts: here at 0, so that a network that
    was trained without phrases begins as it was.
    """

    def __init__(self, channels: int, context: int) -> None:
        super().__init__()
        self.adapt = nn.Linear(context + channels, channels)
        self.norm = nn.BatchNorm1d(channels)
        self.gate = nn.Parameter(torch.zeros(()))

    def attributes(self, features: Tensor, context: Tensor) -> Tensor:
        """The attribute weights A of equation 4 in [-1, 1], given the phrases' context: ``(B,
        C)``."""
        pooled = features.mean((2, 3)).float()
        return torch.tanh(self.norm(self.adapt(torch.cat([context, pooled], 1))))

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        return self.weigh(features, self.attributes(features, context))

    def weigh(self, features: Tensor, weights: Tensor) -> Tensor:
        """Equation 5: ``(B, C, h, w)`` features and their attribute weights ``(B, C)``."""
        return features + self.gate * weights[:, :, None, None].to(features.dtype) * features


def attribute_loss(logits: Tensor, present: Tensor, weights: Tensor) -> Tensor:
    """Equation 7 of PhraseClick: which attribute words a phrase has, from ``(B, N)`` logits and 0 or 1.

    ``weights`` ``(N,)`` balance rare words. The paper's sign is taken as meant: the loss falls as the words are found.
    """
    return F.binary_cross_entropy_with_logits(
        logits, present, weight=weights.expand_as(logits), reduction="none"
    ).mean()
