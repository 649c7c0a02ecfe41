"""The contract of all networks: ``encode`` an image once, ``decode`` its features for each prompt."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from saywhere.core.prompt import Prompt
from saywhere.errors import NoMapError
from saywhere.models.targets import PhraseSupervision
from saywhere.text.words import Words


@dataclass(frozen=True)
class Features:
    """The features of a batch of images.

    Attributes:
        size: height and width of the images.
        levels: feature maps by name, finest first; the names are the network's own.
        cache: where ``decode`` may store further tensors that depend on the images alone.
    """

    size: tuple[int, int]
    levels: Mapping[str, tuple[Tensor, ...]]
    cache: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)


class Candidates(NamedTuple):
    """The candidate masks of a batch of prompts.

    Attributes:
        logits: ``(B, n, H, W)``.
        iou_logits: ``(B, n)`` logits of the predicted IoU of each; 0 from a network that predicts none.
        of_tokens: ``(B, n, H/4, W/4)`` logits that the tokens alone give, while a network with tokens is trained.
    """

    logits: Tensor
    iou_logits: Tensor
    of_tokens: Tensor | None = None

    def chosen(self) -> Tensor:
        """The logits ``(B, 1, H, W)`` of the candidate with the highest predicted IoU."""
        count = self.logits.shape[1]
        if count == 1:
            return self.logits
        best = self.iou_logits.argmax(1, keepdim=True)
        # A sum instead of an index, because every runtime can compute and differentiate it.
        is_best = torch.arange(count, device=best.device) == best
        return (self.logits * is_best[..., None, None].to(self.logits.dtype)).sum(1, keepdim=True)


class InteractiveModel(nn.Module, ABC):
    """A network for interactive segmentation.

    A subclass is registered in :mod:`saywhere.models`. The keyword arguments of its constructor must be values that
    JSON can represent, because weights files contain them.

    Attributes:
        phrases: whether ``decode`` uses the prompt's phrase.
        relevance_maps: whether ``relevance`` is implemented.
        max_clicks: how many clicks a prompt may hold; None: any number.
        negative_clicks: whether clicks off the object are among them.
        drags: whether the radius of a click is used.
        calibrated_relevance: whether ``relevance`` returns probabilities, which are low everywhere if the object is not
            in the image, rather than values relative to the best place.
        candidates: how many masks it gives for a prompt.
        salient: whether an empty prompt is answered with what stands out in the image.
        boxes: whether ``decode`` uses the prompt's box.
        image_tokens: whether it has tokens of the whole image, which all crops of an image share.
        words: the words that it knows; None without phrases.
    """

    renamed_parameters: ClassVar[Mapping[str, str]] = {}
    """Prefixes of parameter names in weights files of earlier releases, and the prefixes that replace them."""
    repeated_parameters: ClassVar[tuple[str, ...]] = ()
    """Prefixes of the last layer's parameters, which has output channels for every candidate mask."""
    candidates: int = 1
    salient: bool = False
    boxes: bool = False
    image_tokens: bool = False
    phrases: bool = False
    relevance_maps: bool = False
    max_clicks: int | None = None
    negative_clicks: bool = True
    drags: bool = True
    calibrated_relevance: bool = False
    words: Words | None = None

    @abstractmethod
    def encode(self, image: Tensor) -> Features:
        """Compute what does not depend on the prompt.

        Args:
            image: ``(B, 3, H, W)`` RGB in [0, 1], of any size.
        """

    def encode_tokens(self, image: Tensor) -> Tensor:
        """Compute the tokens of whole images, where ``image_tokens`` says that the network has some.

        Args:
            image: ``(B, 3, 14 h, 14 w)`` RGB in [0, 1], see :func:`saywhere.core.image_tokens.image_for_tokens`.

        Returns:
            ``(B, C, h, w)``.
        """
        raise NotImplementedError(f"{type(self).__name__} has no tokens")

    def decode_tokens(self, tokens: Tensor, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        """Segment from the tokens alone, coarsely and without phrases, where the network has tokens.

        Args:
            tokens: ``(B, C, h, w)``, as for :meth:`encode_crop`.
            prompts: one for each crop, in its pixels.
            previous: ``(B, 1, 16 h, 16 w)`` probability of the previous mask; None without one.

        Returns:
            ``(B, n, 4 h, 4 w)`` logits of the candidates.
        """
        raise NotImplementedError(f"{type(self).__name__} has no tokens")

    def encode_crop(self, image: Tensor, tokens: Tensor | None) -> Features:
        """Compute what does not depend on the prompt, for crops of images whose tokens are known.

        Args:
            image: ``(B, 3, H, W)`` RGB in [0, 1], of any size.
            tokens: ``(B, C, h, w)`` of the crops' cells of 16 pixels, padded to multiples of 32 pixels; None from a
                network without tokens.
        """
        return self.encode(image)

    @abstractmethod
    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        """Segment the images of a batch.

        Args:
            features: what :meth:`encode` returned.
            prompts: one for each image, in its pixels.
            previous: ``(B, 1, H, W)`` probability of the previous mask; None without one.

        Returns:
            ``(B, 1, H, W)`` logits.
        """

    def decode_candidates(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Candidates:
        """All candidate masks for a prompt, of which :meth:`decode` returns one; arguments as there."""
        logits = self.decode(features, prompts, previous)
        return Candidates(logits, logits.new_zeros(len(logits), 1))

    def auxiliary_loss(
        self, features: Features, prompts: list[Prompt], supervision: Sequence[PhraseSupervision], labels: Words
    ) -> Tensor:
        """A loss that is added to that of the masks, once a training step.

        Args:
            features: what :meth:`encode` returned.
            prompts: one for each image.
            supervision: the labels in each image.
            labels: all labels of the training data with their vectors.

        Returns:
            A scalar; 0 unless a network overrides this.
        """
        return torch.zeros(())

    def relevance(self, features: Features, phrase: str) -> Tensor:
        """Compute where in an image a phrase applies.

        Args:
            features: what :meth:`encode` returned for one image.
            phrase: what to look for.

        Returns:
            ``(1, 1, H, W)`` probability that the phrase applies to each pixel.

        Raises:
            NoMapError: the network has no relevance map.
        """
        raise NoMapError(f"phrase {phrase!r}: this network has no relevance map")

    def forward(self, image: Tensor, prompts: list[Prompt], previous: Tensor | None = None) -> Tensor:
        """Encode and decode; arguments as for :meth:`encode` and :meth:`decode`."""
        return self.decode(self.encode(image), prompts, previous)

    def parameter_groups(self, encoder_scale: float, score_scale: float = 1.0) -> list[dict[str, Any]]:
        """Parameters for the optimiser, in groups; weight decay spares norms and biases.

        Args:
            encoder_scale: learning rate of the encoder over that of the rest, as ``lr_scale`` of its groups.
            score_scale: the same for what predicts the IoU of candidate masks.
        """
        scales = {"encoder": encoder_scale, "candidate_scores": score_scale}
        groups: dict[tuple[str, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                part = name.partition(".")[0]
                groups.setdefault((part if part in scales else "", parameter.ndim > 1), []).append(parameter)
        return [
            {"params": parameters, "lr_scale": scales.get(part, 1.0)} | ({} if decay else {"weight_decay": 0.0})
            for (part, decay), parameters in groups.items()
        ]


class PurifyingModel(InteractiveModel):
    """A network with a purification layer: 1x1 convolutions that can learn on their own, for one kind of object.

    Sequential Interactive Image Segmentation, sections 3.1 and 3.3. ``encode`` computes the level "raw" and calls
    :meth:`purify`.

    Attributes:
        purification: a layer for each tensor of "raw", finest first. It treats each cell independently.
        strides: image pixels to a cell of each tensor.
    """

    purification: nn.ModuleList
    strides: tuple[int, ...]

    @abstractmethod
    def purify(self, raw: Features) -> Features:
        """Apply the purification layer, and compute all that depends on it.

        Args:
            raw: features whose level "raw" does not depend on the purification layer.

        Returns:
            All features that ``decode`` needs; the level "pure" is the output of the purification layer.
        """
