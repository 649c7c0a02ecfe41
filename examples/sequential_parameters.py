"""Parameters of the sequential paper's networks, as built here and as published (its tables 2 and 7).

python examples/sequential_parameters.py
"""

from __future__ import annotations

import timm
from torch import nn
from torchvision.models.segmentation.deeplabv3 import ASPP

from saywhere.models.sequential import RATES, Sequential, conv


def count(*parts: nn.Module) -> float:
    """Million parameters."""
    return sum(parameter.numel() for part in parts for parameter in part.parameters()) / 1e6


def original() -> list[nn.Module]:
    """The parts of DeepLabv3+ (Chen et al. 2018) with the 5-channel input that earlier click-based networks gave it."""
    backbone = timm.create_model("resnet101", features_only=True, out_indices=(1, 4), in_chans=5, output_stride=16)
    low, high = backbone.feature_info.channels()
    decoder = [*conv(low, 48, 1), *conv(256 + 48, 256, 3), *conv(256, 256, 3), nn.Conv2d(256, 1, 1)]
    return [backbone, ASPP(high, RATES, 256), *decoder]


def main() -> None:
    modified = Sequential()
    rows = (
        ("DeepLabv3+", count(*original()), 59.345),
        ("modified DeepLabv3+", count(modified), 45.743),
        ("purification", count(modified.purification), 0.697),
    )
    print(f"{'million parameters':22}{'here':>8}{'paper':>8}")
    for name, here, paper in rows:
        print(f"{name:22}{here:8.3f}{paper:8.3f}")


if __name__ == "__main__":
    main()
