"""A torch network behind numpy: the only way a Segmenter speaks to it."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from saywhere.core.arrays import ImageArray
from saywhere.core.prompt import Prompt
from saywhere.models.base import Features, InteractiveModel, PurifyingModel


def bfloat16_pays(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 itself; where it does not, that is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported())


class TorchRuntime:
    """Runs a network on ``device`` (the GPU if there is one), one image at a time."""

    def __init__(
        self,
        model: InteractiveModel,
        name: str,
        digest: str = "",
        device: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> None:
        """``facts`` is what the weights file says of itself."""
        self.name, self.digest, self.facts = name, digest, facts or {}
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        self.model = model.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.phrases, self.words, self.calibrated_relevance = model.phrases, model.words, model.calibrated_relevance

    @property
    def backend(self) -> str:
        """What most is computed with: "torch" or "onnxruntime"."""
        return "torch" if getattr(self.model, "graphs", None) is None else "onnxruntime"

    def encode(self, image: ImageArray) -> Features:
        """``(H, W, 3)`` uint8 RGB to features."""
        with torch.inference_mode():
            pixels = torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None].float().div_(255.0)
            return self.model.encode(pixels)

    def decode(self, features: Features, prompt: Prompt, previous: NDArray[np.float32] | None) -> NDArray[np.float32]:
        """A prompt in the image's pixels and the last probability ``(H, W)`` to logits ``(H, W)``."""
        with torch.inference_mode():
            past = None if previous is None else torch.from_numpy(previous).to(self.device)[None, None]
            logits = self.model.decode(features, [prompt], past)
            return np.asarray(logits[0, 0].cpu().numpy(), np.float32)

    def relevance(self, features: Features, phrase: str) -> NDArray[np.float32]:
        """The probability ``(H, W)`` that a phrase applies to each pixel; SaywhereError where it cannot be told."""
        with torch.inference_mode():
            return np.asarray(self.model.relevance(features, phrase)[0, 0].cpu().numpy(), np.float32)

    # What a sequence needs besides, of networks with a purification layer

    @property
    def strides(self) -> tuple[int, ...]:
        """Image pixels to a cell of each purified level, finest first; none without a purification layer."""
        return self.model.strides if isinstance(self.model, PurifyingModel) else ()

    def levels(self, features: Features, kind: str) -> list[NDArray[np.float32]]:
        """The "raw" or the "pure" levels of one photograph, each ``(C, h, w)``."""
        return [np.asarray(level[0].float().cpu().numpy(), np.float32) for level in features.levels[kind]]

    def purified(self, level: int, vectors: NDArray[np.float32]) -> NDArray[np.float32]:
        """Raw vectors ``(N, C)`` of single cells to pure ones ``(N, D)``."""
        assert isinstance(self.model, PurifyingModel)
        with torch.inference_mode():
            cells = torch.from_numpy(vectors).to(self.device)[:, :, None, None]
            return np.asarray(self.model.purification[level](cells)[:, :, 0, 0].cpu().numpy(), np.float32)

    def purify(self, features: Features) -> Features:
        """What this runtime makes of the features of another, from which it differs in its purification layer alone."""
        assert isinstance(self.model, PurifyingModel)
        with torch.inference_mode():
            return self.model.purify(Features(features.size, {"raw": features.levels["raw"]}))

    def adapted(self, parameters: Mapping[str, NDArray[np.float32]]) -> TorchRuntime:
        """The same network with other parameters of its purification layer; all else is shared with this one."""
        assert isinstance(self.model, PurifyingModel)
        other = copy.copy(self)
        other.model = with_own_purification(self.model)
        other.model.purification.load_state_dict({k: torch.from_numpy(v) for k, v in parameters.items()})
        return other


def with_own_purification(model: PurifyingModel) -> PurifyingModel:
    """A network that has a copy of the purification layer and shares everything else."""
    parts = {**vars(model), **dict(model.named_children())}
    # What deepcopy finds here it takes for copied already.
    shared = {id(part): part for name, part in parts.items() if name not in ("_modules", "purification")}
    return copy.deepcopy(model, shared)
