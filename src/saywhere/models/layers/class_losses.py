"""Losses by which an ImageNet classifier teaches a relevance map (see :mod:`saywhere.training.class_maps`)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from saywhere.models.layers.phrase import PhraseEncoder
from saywhere.models.layers.relevance import TEMPERATURE, LearnedRelevance
from saywhere.models.targets import ClassTargets
from saywhere.text.class_names import imagenet_classes
from saywhere.text.words import Words

MIN_CONFIDENCE = 0.3  # total probability of a cell's most probable classes from which it teaches anything
CELLS = 1024  # of a batch, whose classes are compared with all others
CLASS_CONTRAST_WEIGHT = 0.3  # relative to the loss of the phrases


def teacher_loss(
    relevance: LearnedRelevance, encoder: PhraseEncoder, embedded: Tensor, targets: Sequence[ClassTargets | None]
) -> Tensor:
    """The class contrast and the loss of the names and hypernyms; 0 without targets.

    Args:
        relevance: the relevance map.
        encoder: of phrases.
        embedded: ``(B, D, h, w)``, what :meth:`LearnedRelevance.embed` returned.
        targets: what is known of each image.
    """
    rows = [row for row, each in enumerate(targets) if each is not None]
    if not rows:
        return embedded.sum() * 0.0
    known = [each for each in targets if each is not None]
    own = embedded[rows]
    contrast = class_contrast_loss(relevance, own, known, encoder.words)
    return CLASS_CONTRAST_WEIGHT * contrast + named_loss(relevance, encoder, own, known)


def named_loss(
    relevance: LearnedRelevance, encoder: PhraseEncoder, embedded: Tensor, targets: Sequence[ClassTargets]
) -> Tensor:
    """Cross-entropy of the relevance of names and hypernyms with where they apply.

    Cells where a phrase applies and where it does not have the same weight; what is not known does not count. Of a
    phrase that applies nowhere the most relevant cells count: whether a thing is there is judged by the highest ones.
    """
    counts = [len(each.phrases) for each in targets]
    images = torch.repeat_interleave(torch.arange(len(targets)), torch.tensor(counts)).to(embedded.device)
    phrases = encoder([phrase for each in targets for phrase in each.phrases])
    target = torch.from_numpy(np.concatenate([each.targets for each in targets])[:, None]).to(embedded.device).float()
    values = F.binary_cross_entropy_with_logits(
        relevance(embedded[images], phrases), target.nan_to_num(), reduction="none"
    )
    inside, outside = (target == 1.0).float(), (target == 0.0).float()
    means = [(values * cells).sum((1, 2, 3)) / cells.sum((1, 2, 3)).clamp_min(1.0) for cells in (inside, outside)]
    highest = (values * outside).flatten(1).topk(max(target[0].numel() // 20, 1)).values.mean(1)
    is_absent = ~inside.flatten(1).any(1)
    return 0.5 * (means[0] + torch.where(is_absent, highest, means[1])).mean()


def class_contrast_loss(
    relevance: LearnedRelevance, embedded: Tensor, targets: Sequence[ClassTargets], words: Words
) -> Tensor:
    """Cross-entropy of the classes of cells among all 1,000, by the cosine of cell and class name.

    The teacher's probabilities are the targets (distillation); cells of which it is not sure do not count.
    """
    indices = torch.from_numpy(np.stack([each.indices for each in targets]).astype(np.int64)).to(embedded.device)
    probabilities = torch.from_numpy(np.stack([each.probabilities for each in targets])).to(embedded.device).float()
    chosen = torch.nonzero(probabilities.sum(-1) >= MIN_CONFIDENCE)
    if not len(chosen):
        return embedded.sum() * 0.0
    image, y, x = chosen[torch.randperm(len(chosen), device=chosen.device)[:CELLS]].T
    vectors = F.normalize(relevance.words(class_vectors(words).to(embedded.device)), dim=1).float()
    log_probabilities = (embedded.float()[image, :, y, x] @ vectors.T / TEMPERATURE).log_softmax(1)
    weights = probabilities[image, y, x]
    return -(weights * log_probabilities.gather(1, indices[image, y, x])).sum() / weights.sum()


@cache
def class_vectors(words: Words) -> Tensor:
    """The phrase vectors ``(1000, D)`` of the classes' most usual names."""
    classes = zip(imagenet_classes().names, imagenet_classes().hypernyms, strict=True)
    return torch.from_numpy(
        np.stack([words.phrase_vector((*names, *above, "")[0] or None) for names, above in classes])
    )
