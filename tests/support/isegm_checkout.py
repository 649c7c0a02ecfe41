"""A stand-in for a clone of RITM, ClickSEG or SimpleClick: their package's module and class names, and their interface.

The networks compare colours with those under the clicks. What is a fact about the projects: module and class names, the
keys of a checkpoint, the arguments of ``load_model``, ``forward`` and ``refine``, and the shapes of what passes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

SERIALIZATION = """
import importlib

def find(text):
    module, _, name = text.rpartition(".")
    return getattr(importlib.import_module(module), name)

def load_model(config, {argument}**kwargs):
    values = {{name: each["value"] for name, each in config["params"].items()}}
    return find(config["class"])(**values, **kwargs)
"""
NETWORK = '''
import torch
from torch import nn
from isegm.utils.serialization import find  # as the projects do, by the package's own name

class Colours(nn.Module):
    """Positive where a pixel's colour is nearer to that of a positive click than to any other."""

    def __init__(self, with_prev_mask=True, **kwargs):
        super().__init__()
        self.with_prev_mask = with_prev_mask
        self.scale = nn.Parameter(torch.tensor(1.0))

    def compare(self, image, points):
        assert points.ndim == 3 and points.shape[0] == 1 and points.shape[1] % 2 == 0 and points.shape[2] == 3
        count, nearest = points.shape[1] // 2, {}
        for sign, part in ((1, points[0, :count]), (0, points[0, count:])):
            nearest[sign] = torch.full(image.shape[2:], 0.3 if sign == 0 else 9.0)
            for row, column, number in part.tolist():
                if row < 0:
                    assert (row, column, number) == (-1, -1, -1)
                    continue
                colour = image[0, :, min(round(row), image.shape[2] - 1), min(round(column), image.shape[3] - 1)]
                distance = (image[0] - colour[:, None, None]).abs().amax(0)
                nearest[sign] = torch.minimum(nearest[sign], distance)
        return self.scale * 20.0 * (nearest[0] - nearest[1])[None, None]

    def more(self, image):
        return {}

    def forward(self, image, points):
        assert image.shape[1] == (4 if self.with_prev_mask else 3), image.shape
        logits = self.compare(image[:, :3], points)
        if self.with_prev_mask:
            logits = logits + 30.0 * (image[:, 3:] > 0.9)
        return {"instances": logits, "instances_aux": logits, **self.more(image)}
'''
RITM = (
    NETWORK
    + """
class HRNetModel(Colours):
    def forward(self, image, points):
        assert image.shape[2] % 32 == 0 and image.shape[3] % 32 == 0, image.shape
        return super().forward(image, points)
"""
)
SIMPLECLICK = (
    NETWORK
    + """
class PatchEmbed(nn.Module):
    img_size = (448, 448)

class Backbone(nn.Module):
    def __init__(self):
        super().__init__()
        self.patch_embed = PatchEmbed()

class PlainVitModel(Colours):
    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.backbone = Backbone()

    def forward(self, image, points):
        assert tuple(image.shape[2:]) == (448, 448), image.shape
        return super().forward(image, points)
"""
)
FOCALCLICK = (
    NETWORK
    + """
class SegFormerModel(Colours):
    def more(self, image):
        return {"feature": image[:, :3]}

    def forward(self, image, points):
        assert tuple(image.shape[2:]) == (256, 256), image.shape
        return super().forward(image, points)

    def refine(self, cropped_image, cropped_points, full_feature, full_logits, bboxes):
        assert tuple(cropped_image.shape) == (1, 3, 256, 256)
        assert tuple(full_logits.shape) == (1, 1, 256, 256) and full_feature.shape[2:] == (256, 256)
        assert tuple(bboxes.shape) == (1, 5) and bboxes[0, 0] == 0
        left, top, right, bottom = bboxes[0, 1:].tolist()
        assert 0 <= left < right <= 256 and 0 <= top < bottom <= 256
        middle = full_feature[0, :, int((top + bottom) / 2), int((left + right) / 2)]
        seen = cropped_image[0, :, 128, 128]
        assert (middle - seen).abs().max() < 0.2, "the box is not where the image was cropped"
        refined = self.compare(cropped_image, cropped_points)
        return {"instances_refined": refined, "instances_coarse": refined, "trimap": refined}
"""
)
KINDS = {
    "ritm": ("isegm.model.is_hrnet_model.HRNetModel", RITM, ""),
    "focalclick": ("isegm.model.is_segformer_model.SegFormerModel", FOCALCLICK, ""),
    "simpleclick": ("isegm.model.is_plainvit_model.PlainVitModel", SIMPLECLICK, "eval_ritm, "),
}


def write_checkout(folder: Path, kind: str) -> tuple[Path, Path]:
    """A checkpoint and a checkout of one of the projects.

    Args:
        folder: in which both are written.
        kind: of :data:`KINDS`.
    """
    name, network, argument = KINDS[kind]
    checkout = folder / f"{kind}-clone"
    files = {
        "isegm/__init__.py": "",
        "isegm/utils/__init__.py": "",
        "isegm/utils/serialization.py": SERIALIZATION.format(argument=argument),
        "isegm/model/__init__.py": "",
        f"{name.rpartition('.')[0].replace('.', '/')}.py": network,
    }
    for place, content in files.items():
        path = checkout / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return write_checkpoint(folder / f"{kind}.pth", name), checkout


def write_checkpoint(path: Path, name: str, state: dict[str, Any] | None = None, with_prev_mask: bool = True) -> Path:
    """A checkpoint as these projects write it."""
    value = {"type": "builtin", "value": with_prev_mask, "specified": True}
    config = {"class": name, "params": {"with_prev_mask": value}}
    torch.save({"config": config, "state_dict": state or {"scale": torch.tensor(0.5)}}, path)
    return path
