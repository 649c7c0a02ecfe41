"""Learning in sequences with everything after the backbone instead of the purification layer (SIIS, table 7)."""

from __future__ import annotations

import copy
from typing import cast

from torch import Tensor, nn

from saywhere.core.prompt import Prompt
from saywhere.models.base import Features, PurifyingModel
from saywhere.runtime.torch import TorchRuntime


class GlobalPurification(PurifyingModel):
    """A network whose purification layer is everything after the backbone, so that all of it learns."""

    def __init__(self, model: PurifyingModel) -> None:
        super().__init__()
        rest = copy.copy(model)
        rest._modules = {**model._modules, "encoder": nn.Identity()}
        self.model = model
        # Proposals ask for the layers by their numbers; the rest of the network comes after them.
        self.purification = nn.ModuleList([*model.purification, rest])
        self.strides = model.strides

    def encode(self, image: Tensor) -> Features:
        features = self.model.encode(image)
        return self.purify(Features(features.size, {"raw": features.levels["raw"]}))

    @property
    def rest(self) -> PurifyingModel:
        """Everything after the backbone."""
        return cast(PurifyingModel, self.purification[-1])

    def purify(self, raw: Features) -> Features:
        return self.rest.purify(raw)

    def decode(self, features: Features, prompts: list[Prompt], previous: Tensor | None) -> Tensor:
        return self.rest.decode(features, prompts, previous)


def with_global_learning(runtime: TorchRuntime) -> TorchRuntime:
    """The same network, in which everything after the backbone learns from accepted masks."""
    model = GlobalPurification(cast(PurifyingModel, runtime.model))
    return TorchRuntime(model, f"{runtime.name}, global", runtime.digest, str(runtime.device), runtime.metadata)
