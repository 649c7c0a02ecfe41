"""Networks of RITM's family (RITM, FocalClick, SimpleClick), run by torch.

They take the image in [0, 1], often with the previous mask as a fourth channel, and ``(1, 2 N, 3)`` points: row, column
and number of N positive clicks, then of N negative ones; -1 where there are fewer.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from saywhere.core.arrays import BoolArray, FloatArray, ImageArray
from saywhere.core.geometry import Box, ImageSize, bounding_box
from saywhere.core.prompt import Click, Prompt
from saywhere.errors import SaywhereError
from saywhere.runtime.base import Capabilities, Runtime
from saywhere.runtime.external.checkout import digest_of, load_network, reason
from saywhere.runtime.external.drags import further_clicks
from saywhere.runtime.torch import find_device

Kind = Literal["ritm", "focalclick", "simpleclick"]
SIZES: dict[Kind, int] = {"ritm": 480, "focalclick": 512}  # longer side of the crops; SimpleClick's is its own
MULTIPLE = 32  # of both sides, to which RITM's images are padded
FOCAL_SIDE = 256  # of the squares that FocalClick sees, for the whole crop and for what changed
FOCAL_MARGIN = 1.4  # side of the second square over that of what changed
MANY_CLICKS = 10  # above it FocalClick changes nothing outside the second square
LEAST_PROBABILITY = 1e-6


@dataclass(frozen=True)
class RitmFeatures:
    """An image as the network takes it, which has no encoder of its own.

    Attributes:
        image: ``(1, 3, h, w)`` in [0, 1].
        size: of the image without padding.
        seen: of the image as the network sees it.
    """

    image: Tensor
    size: ImageSize
    seen: ImageSize


class RitmRuntime(Runtime):
    """Runs a network of RITM's family.

    Args:
        checkpoint: of the network.
        checkout: folder of the clone whose code builds it.
        device: see :func:`saywhere.runtime.torch.find_device`; the processor when None.

    Raises:
        SaywhereError: as for :func:`load_network`, or there is no such device.
    """

    def __init__(self, checkpoint: Path, checkout: Path, device: str | None = None) -> None:
        self.device = find_device(device or "cpu")
        self.model: Any = load_network(checkpoint, checkout).to(self.device)
        self.kind: Kind = kind_of(self.model)
        self.name = f"{self.kind}:{checkpoint.stem}"
        self.digest = digest_of(checkpoint, checkout)
        size = SIZES.get(self.kind) or max(_vit_size(self.model) or (0,))
        self.metadata = {"model": self.kind, "size": size, "zoom": True, "previous_mask_from": 2}
        self.capabilities = Capabilities(device=str(self.device), backend="torch")

    def encode(self, image: ImageArray) -> RitmFeatures:
        size = ImageSize(*image.shape[:2])
        pixels = torch.from_numpy(np.ascontiguousarray(image)).to(self.device).permute(2, 0, 1)[None].float() / 255.0
        if self.kind == "ritm":
            padding = (0, -size.width % MULTIPLE, 0, -size.height % MULTIPLE)
            return RitmFeatures(F.pad(pixels, padding, mode="replicate"), size, size)
        vit = _vit_size(self.model)
        return RitmFeatures(pixels, size, vit or ImageSize(FOCAL_SIDE, FOCAL_SIDE))

    def decode(self, features: RitmFeatures, prompt: Prompt, previous: FloatArray | None) -> FloatArray:
        try:
            with torch.inference_mode():
                logits = self._decode(features, prompt, previous)
                return np.asarray(logits.float().cpu().numpy(), np.float32)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise SaywhereError(f"model '{self.name}': the code of its checkout failed ({reason(error)})") from error

    def _decode(self, features: RitmFeatures, prompt: Prompt, previous: FloatArray | None) -> Tensor:
        """``(H, W)`` logits."""
        (height, width), clicks = features.size, with_further_clicks(prompt, features.size)
        shown = torch.zeros(1, 1, height, width, device=self.device)
        if previous is not None:
            shown = torch.from_numpy(previous).to(self.device)[None, None].float()
        if self.kind == "ritm":
            padded = features.image.shape
            mask = F.pad(shown, (0, padded[3] - width, 0, padded[2] - height))
            return self._run(features.image, mask, self._points(clicks))["instances"][0, 0, :height, :width]
        down, across = features.seen.height / height, features.seen.width / width
        outputs = self._run(
            _resized(features.image, features.seen), _resized(shown, features.seen),
            self._points([_scaled(click, across, down) for click in clicks]),
        )  # fmt: skip
        coarse = _resized(outputs["instances"], features.size)
        if self.kind == "focalclick" and clicks:
            past = None if previous is None else shown
            if past is not None and len(prompt.clicks) > MANY_CLICKS:
                certain = past.clamp(LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
                return self._refine(features, clicks, coarse, outputs, past, torch.log(certain / (1.0 - certain)))[0, 0]
            coarse = self._refine(features, clicks, coarse, outputs, past, coarse)
        return coarse[0, 0]

    def _run(self, image: Tensor, mask: Tensor, points: Tensor) -> dict[str, Tensor]:
        given = torch.cat([image, mask], 1) if getattr(self.model, "with_prev_mask", False) else image
        outputs: dict[str, Tensor] = self.model(given, points)
        return outputs

    def _refine(
        self,
        features: RitmFeatures,
        clicks: list[Click],
        coarse: Tensor,
        outputs: dict[str, Tensor],
        previous: Tensor | None,
        around: Tensor,
    ) -> Tensor:
        """Decode what the last click changed again at a higher resolution (FocalClick, section 3.2).

        Args:
            features: of the crop.
            clicks: in its pixels.
            coarse: ``(1, 1, H, W)`` logits of the crop.
            outputs: what the network gave for it.
            previous: ``(1, 1, H, W)`` probability of the mask before.
            around: ``(1, 1, H, W)`` logits that stay where nothing is decoded again.
        """
        before = None if previous is None else (previous[0, 0] > 0.5).cpu().numpy()
        box = focus_box((coarse[0, 0] > 0.0).cpu().numpy(), before, clicks[-1])
        if box is None:
            return around
        left, top, right, bottom = (int(edge) for edge in box)
        side = ImageSize(FOCAL_SIDE, FOCAL_SIDE)
        across, down = side.width / (right - left), side.height / (bottom - top)
        inside = [click for click in clicks if left <= click.x < right and top <= click.y < bottom]
        moved = [Click((c.x - left) * across, (c.y - top) * down, c.positive) for c in inside]
        (height, width), seen = features.size, features.seen
        edges = [0.0, left * seen.width / width, top * seen.height / height]
        edges += [right * seen.width / width, bottom * seen.height / height]
        refined = self.model.refine(
            _resized(features.image[:, :, top:bottom, left:right], side), self._points(moved), outputs["feature"],
            outputs["instances"], torch.tensor([edges], device=self.device),
        )["instances_refined"]  # fmt: skip
        whole = around.clone()
        whole[:, :, top:bottom, left:right] = _resized(refined, ImageSize(bottom - top, right - left))
        return whole

    def _points(self, clicks: list[Click]) -> Tensor:
        signs = [[(c.y, c.x, float(i)) for i, c in enumerate(clicks) if c.positive is sign] for sign in (True, False)]
        count = max(1, *map(len, signs))
        rows = [row for points in signs for row in (*points, *[(-1.0, -1.0, -1.0)] * (count - len(points)))]
        return torch.tensor([rows], dtype=torch.float32, device=self.device)


def kind_of(model: Any) -> Kind:
    """Which project a network is of: FocalClick refines, SimpleClick's image has a fixed size."""
    if callable(getattr(model, "refine", None)):
        return "focalclick"
    return "ritm" if _vit_size(model) is None else "simpleclick"


def _vit_size(model: Any) -> ImageSize | None:
    """The size of the images that a plain vision transformer takes."""
    size = getattr(getattr(getattr(model, "backbone", None), "patch_embed", None), "img_size", None)
    if size is None:
        return None
    return ImageSize(int(size), int(size)) if isinstance(size, int) else ImageSize(*(int(n) for n in size))


def with_further_clicks(prompt: Prompt, size: ImageSize) -> list[Click]:
    """The clicks of a prompt, with further ones for each drag; the last click stays the last."""
    further = [each for click in prompt.clicks for each in further_clicks(click, size)]
    return [*further, *prompt.clicks]


def focus_box(mask: BoolArray, before: BoolArray | None, last: Click) -> Box | None:
    """The box of what the last click changed: of the changed component under it, else of the mask; with a margin.

    Args:
        mask: ``(H, W)``, the new one.
        before: ``(H, W)``, the one before; None without one.
        last: the last click.

    Returns:
        None where there is nothing.

    Example:
        >>> mask = np.zeros((100, 100), np.bool_)
        >>> mask[20:40, 30:50] = True
        >>> focus_box(mask, None, Click(35, 30))
        (26.0, 16.0, 54.0, 44.0)
    """
    changed = mask if before is None else mask ^ before
    _, components = cv2.connectedComponents(changed.astype(np.uint8), connectivity=8)
    height, width = mask.shape
    under = int(components[min(max(round(last.y), 0), height - 1), min(max(round(last.x), 0), width - 1)])
    box = bounding_box(np.asarray(components == under) if under else mask)
    if box is None:
        return None
    x0, y0, x1, y1 = box
    dx, dy = ((FOCAL_MARGIN - 1.0) * length / 2.0 for length in (x1 - x0, y1 - y0))
    left, top, right, bottom = np.floor([x0 - dx, y0 - dy, x1 + dx, y1 + dy])
    return float(max(left, 0)), float(max(top, 0)), float(min(right, width)), float(min(bottom, height))


def _scaled(click: Click, across: float, down: float) -> Click:
    return Click((click.x + 0.5) * across - 0.5, (click.y + 0.5) * down - 0.5, click.positive)


def _resized(values: Tensor, size: ImageSize) -> Tensor:
    if tuple(values.shape[2:]) == size:
        return values
    return F.interpolate(values, size=tuple(size), mode="bilinear", align_corners=True)
