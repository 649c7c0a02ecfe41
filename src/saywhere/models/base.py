"""The contract of every network: look once (``encode``), answer many times (``decode``)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from saywhere.core.prompt import Prompt
from saywhere.errors import NoMapError
from saywhere.models.targets import PhraseSupervision
from saywhere.text.words import Words


@dataclass(frozen=True)
class Features:
    """What ``decode`` needs of a batch of images.

    ``size`` is the images' ``(H, W)``; ``levels`` are the model's own tensors by what they are, finest first.
    ``cache`` is where ``decode`` may leave what it need not work out again for these images.
    """

    size: tuple[int, int]
    levels: Mapping[str, tuple[Tensor, ...]]
    cache: dict[str, tuple[Tensor, ...]] = field(default_factory=dict)


class InteractiveModel(nn.Module, ABC):
    """A network that segments what a prompt points at.

    A subclass is registered in ``saywhere.models`` under its name and is built from keyword arguments
    that JSON can hold; these travel with its weights. ``phrases`` says whether ``decode`` reads a prompt's phrase,
    ``words`` those it knows, ``single_click`` whether one positive click is all that it can be told,
    ``calibrated_relevance`` whether ``relevance`` gives probabilities, low everywhere for a thing that is not there,
    and not only where a phrase applies best.
    """

    renamed_parameters: ClassVar[Mapping[str, str]] = {}
    """Prefixes of parameters in weights files of earlier releases, and what they are called now."""
    phrases: bool = False
    relevance_maps: bool = False
    single_click: bool = False
    calibrated_relevance: bool = False
    words: Words | None = None

    @abstractmethod
    def encode(self, image: Tensor) -> Features:
        """``(B, 3, H, W)`` RGB in [0, 1], any H and W, to features."""

    @abstractmethod
    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        """One prompt for each image, in the image's own pixels, to logits ``(B, 1, H, W)``.

        ``previous`` is the probability ``(B, 1, H, W)`` of the last answer; None before the first.
        """

    def auxiliary_loss(
        self, features: Features, prompts: list[Prompt], supervision: Sequence[PhraseSupervision], labels: Words
    ) -> Tensor:
        """What else a network learns from beside its masks, once a step; ``labels`` are all of the training data's."""
        return torch.zeros(())

    def relevance(self, features: Features, phrase: str) -> Tensor:
        """The probability ``(1, 1, H, W)`` that a phrase applies to a pixel; NoMapError if it cannot be told."""
        raise NoMapError(f"phrase {phrase!r}: this network has no map of where a phrase applies")

    def forward(self, image: Tensor, prompts: list[Prompt], previous: Tensor | None = None) -> Tensor:
        return self.decode(self.encode(image), prompts, previous)

    def parameter_groups(self, encoder_scale: float) -> list[dict[str, Any]]:
        """Parameters for the optimiser; ``lr_scale`` slows a pretrained encoder, decay spares norms and biases."""
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                key = name.startswith("encoder."), parameter.ndim > 1
                groups.setdefault(key, []).append(parameter)
        return [
            {"params": parameters, "lr_scale": encoder_scale if encoder else 1.0}
            | ({} if decay else {"weight_decay": 0.0})
            for (encoder, decay), parameters in groups.items()
        ]


class PurifyingModel(InteractiveModel):
    """A network whose features of a photograph pass a layer of 1x1 convolutions that can learn on its own, for one
    kind of object (Sequential Interactive Image Segmentation, sections 3.1 and 3.3).

    ``encode`` gives the level "raw", a tensor for each layer of ``purification``, finest first, which does not depend
    on that layer, and hands it to ``purify``. ``strides`` are image pixels to a cell of each. A layer works on every
    cell by itself.
    """

    purification: nn.ModuleList
    strides: tuple[int, ...]

    @abstractmethod
    def purify(self, raw: Features) -> Features:
        """The ``raw`` level with all that ``decode`` needs; "pure" holds what each layer makes of its raw tensor."""
