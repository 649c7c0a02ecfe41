"""Networks run by torch."""

from __future__ import annotations

import copy
import os
import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

import numpy as np
import torch

from saywhere.core.arrays import BoolArray, FloatArray, ImageArray
from saywhere.core.crop import Crop
from saywhere.core.geometry import ImageSize
from saywhere.core.image_tokens import image_for_tokens, tokens_in_crop
from saywhere.core.numbers import describe
from saywhere.core.processes import call_after_fork
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import SaywhereError
from saywhere.models.base import Features, InteractiveModel, PurifyingModel
from saywhere.models.losses import bce
from saywhere.runtime.base import Capabilities, Parameters, PurifyingRuntime, vocabulary_of

DEVICE_NAME = re.compile(r"(?P<kind>cpu|cuda|mps)(:(?P<number>[0-9]{1,4}))?")


def find_device(device: str | torch.device | None) -> torch.device:
    """A device by its name, checked before anything is computed there.

    Args:
        device: "cpu", "cuda", "cuda:1" and so on, or "mps"; the GPU if there is one, else the processor, when None.

    Raises:
        SaywhereError: there is no such device, or torch cannot use it here.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    match = DEVICE_NAME.fullmatch(str(device)) if isinstance(device, (str, torch.device)) else None
    if match is None:
        raise SaywhereError(f"device {describe(device)}: give 'cpu', 'cuda', 'cuda:0' (a GPU by its number) or 'mps'")
    kind, number = match["kind"], int(match["number"] or 0)
    count = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if kind == "cuda" and not torch.cuda.is_available():
        count = 0
    if number >= count:
        there = f"torch sees {count} of this kind here" if count else "torch sees none of this kind here"
        raise SaywhereError(f"device '{device}': {there}; give another one, or leave it out")
    return torch.device(str(device))


def bfloat16_pays(device: torch.device) -> bool:
    """Whether a device computes in bfloat16 itself; where it does not, that is slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported())


# After a fork, the threads that torch computed with are not there: with one thread it needs none of them.
call_after_fork(partial(torch.set_num_threads, 1))


class TorchRuntime(PurifyingRuntime):
    """Runs a registered network with torch, one image at a time.

    Args:
        model: the network; it is put into evaluation mode.
        name: what tables and messages call it.
        digest: names its weights.
        device: see :func:`find_device`.
        metadata: what the weights file says of itself.
    """

    def __init__(
        self,
        model: InteractiveModel,
        name: str,
        digest: str = "",
        device: str | torch.device | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.name, self.digest, self.metadata = name, digest, metadata or {}
        self.device = find_device(device)
        self._process = os.getpid()
        self.model = model.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.capabilities = Capabilities(
            phrases=model.phrases,
            words=model.words,
            vocabulary=vocabulary_of(self.metadata, model.words) if model.relevance_maps else None,
            relevance=model.relevance_maps,
            calibrated_relevance=model.calibrated_relevance,
            salient=model.salient,
            boxes=model.boxes,
            candidates=model.candidates,
            max_clicks=model.max_clicks,
            negative_clicks=model.negative_clicks,
            drags=model.drags,
            image_tokens=model.image_tokens,
            purification_strides=model.strides if isinstance(model, PurifyingModel) else (),
            device=str(self.device),
            backend="torch",
        )

    def encode(self, image: ImageArray) -> Features:
        if self.model.image_tokens:
            return self.encode_crop(image, Crop.whole(image), self.tokens(image))
        self._check_process()
        with torch.inference_mode():
            return self.model.encode(self._to_tensor(image))

    def tokens(self, image: ImageArray) -> FloatArray:
        self._check_process()
        with torch.inference_mode():
            tokens = self.model.encode_tokens(self._to_tensor(image_for_tokens(image)))
            return np.asarray(tokens[0].float().cpu().numpy(), np.float32)

    def encode_crop(self, image: ImageArray, crop: Crop, tokens: FloatArray) -> Features:
        self._check_process()
        sampled = tokens_in_crop(tokens, ImageSize(*image.shape[:2]), crop)
        with torch.inference_mode():
            pixels = self._to_tensor(crop.crop(image))
            return self.model.encode_crop(pixels, torch.from_numpy(sampled)[None].to(self.device))

    def _to_tensor(self, image: ImageArray) -> torch.Tensor:
        """``(1, 3, H, W)`` in [0, 1] on the device."""
        return torch.from_numpy(image).to(self.device).permute(2, 0, 1)[None].float().div_(255.0)

    def _check_process(self) -> None:
        if self.device.type == "cuda" and os.getpid() != self._process:
            raise SaywhereError(
                f"weights '{self.name}' on {self.device}: a forked process cannot use the GPU of its parent; "
                "start it with the method spawn"
            )

    def decode(self, features: Features, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        self._check_process()
        with torch.inference_mode():
            past = None if previous is None else torch.from_numpy(previous).to(self.device)[None, None]
            logits = self.model.decode(features, [prompt], past)
            return np.asarray(logits[0, 0].cpu().numpy(), np.float32)

    def decode_candidates(
        self, features: Features, prompt: Prompt, previous: FloatArray | None
    ) -> tuple[FloatArray, FloatArray]:
        self._check_process()
        with torch.inference_mode():
            past = None if previous is None else torch.from_numpy(previous).to(self.device)[None, None]
            logits, iou_logits, _ = self.model.decode_candidates(features, [prompt], past)
            scores = iou_logits[0].float().sigmoid().cpu().numpy()
            return np.asarray(logits[0].cpu().numpy(), np.float32), np.asarray(scores, np.float32)

    def relevance(self, features: Features, phrase: str) -> FloatArray:
        self._check_process()
        with torch.inference_mode():
            return np.asarray(self.model.relevance(features, phrase)[0, 0].cpu().numpy(), np.float32)

    def cost(self, size: ImageSize) -> dict[str, int]:
        from torch.utils.flop_counter import FlopCounterMode

        image = torch.zeros(1, 3, *size, device=self.device)
        with torch.enable_grad():
            with FlopCounterMode(display=False) as encoding:
                features = self.model.encode(image)
            with FlopCounterMode(display=False) as decoding:
                self.model.decode(features, [Prompt((Click(9, 9),))], image[:, :1])
        return {
            "parameters": sum(p.numel() for p in self.model.parameters()),
            "encode_multiply_adds": encoding.get_total_flops() // 2,
            "decode_multiply_adds": decoding.get_total_flops() // 2,
        }

    @property
    def _purifying(self) -> PurifyingModel:
        assert isinstance(self.model, PurifyingModel), "capabilities.purification_strides is empty"
        return self.model

    def purification_parameters(self) -> Parameters:
        state = self._purifying.purification.state_dict()
        return {name: value.detach().cpu().numpy().copy() for name, value in state.items()}

    def with_purification(self, parameters: Parameters) -> Self:
        other = copy.copy(self)
        other.model = with_own_purification(self._purifying)
        state = {name: torch.from_numpy(np.asarray(value)) for name, value in parameters.items()}
        other._purifying.purification.load_state_dict(state)
        return other

    def levels(self, features: Features, kind: str) -> list[FloatArray]:
        return [np.asarray(level[0].float().cpu().numpy(), np.float32) for level in features.levels[kind]]

    def purified(self, level: int, vectors: FloatArray) -> FloatArray:
        with torch.inference_mode():
            cells = torch.from_numpy(vectors).to(self.device)[:, :, None, None]
            return np.asarray(self._purifying.purification[level](cells)[:, :, 0, 0].cpu().numpy(), np.float32)

    def purify(self, features: Features) -> Features:
        with torch.inference_mode():
            return self._purifying.purify(Features(features.size, {"raw": features.levels["raw"]}))

    def purification_gradient(
        self, raw: Sequence[FloatArray], prompt: Prompt, target: BoolArray, counted: BoolArray
    ) -> tuple[float, Parameters]:
        layer = self._purifying.purification.requires_grad_(True)
        parameters = dict(layer.named_parameters())
        levels = tuple(torch.from_numpy(level)[None].to(self.device).float() for level in raw)
        levels = tuple(level.contiguous(memory_format=torch.channels_last) for level in levels)
        expected, weight = (torch.from_numpy(mask)[None, None].to(self.device).float() for mask in (target, counted))
        with torch.enable_grad(), torch.autocast(self.device.type, torch.bfloat16, bfloat16_pays(self.device)):
            features = self._purifying.purify(Features((target.shape[0], target.shape[1]), {"raw": levels}))
            logits = self._purifying.decode(features, [prompt], None).float()
        loss = bce(logits, expected, weight).mean()
        gradients = torch.autograd.grad(loss, list(parameters.values()), allow_unused=True)
        named = zip(parameters.items(), gradients, strict=True)
        return float(loss.detach()), {
            name: (torch.zeros_like(value) if gradient is None else gradient).cpu().numpy()
            for (name, value), gradient in named
        }


def with_own_purification(model: PurifyingModel) -> PurifyingModel:
    """A network that has a copy of the purification layer and shares everything else."""
    parts = {**vars(model), **dict(model.named_children())}
    # What deepcopy finds here it takes for copied already.
    shared = {id(part): part for name, part in parts.items() if name not in ("_modules", "purification")}
    return copy.deepcopy(model, shared)
