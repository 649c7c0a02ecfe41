"""Parameters and multiply-adds of the published networks with their own backbones, and of ours.

    python benchmarks/network_sizes.py

Multiply-adds are those of one image of 512x512 pixels and one click, as torch counts them in convolutions and matrix
products. Nothing is downloaded: the published networks have the papers' shapes and random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import saywhere
from saywhere.core.geometry import ImageSize
from saywhere.models import build
from saywhere.runtime.base import Runtime
from saywhere.runtime.torch import TorchRuntime

SIZE = ImageSize(512, 512)
NETWORKS: list[tuple[str, str, dict[str, Any]]] = [
    ("phraseclick", "phraseclick", {}),
    ("textclick", "textclick", {}),
    ("dctnet, baseline", "dctnet", {"spatial": False, "feature": False}),
    ("dctnet, + Spatial", "dctnet", {"feature": False}),
    ("dctnet, + Spatial + Feature", "dctnet", {}),
    ("multistage, no click", "multistage", {"fusion": "none"}),
    ("multistage, early fusion", "multistage", {"fusion": "early"}),
    ("multistage, multi-stage", "multistage", {}),
]


def networks() -> Iterator[tuple[str, Runtime]]:
    for title, name, options in NETWORKS:
        yield title, TorchRuntime(build(name, options).eval(), name, device="cpu")
    yield "saywhere, as shipped", saywhere.load().runtime


def main() -> None:
    print(f"{'network':30} {'parameters':>12} {'encode':>10} {'decode':>10}")
    for title, runtime in networks():
        cost = runtime.cost(SIZE)
        print(
            f"{title:30} {cost['parameters'] / 1e6:10.2f} M {cost['encode_multiply_adds'] / 1e9:8.1f} G "
            f"{cost['decode_multiply_adds'] / 1e9:8.1f} G"
        )


if __name__ == "__main__":
    main()
