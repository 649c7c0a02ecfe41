"""Parameters and multiply-adds of the published networks with their own backbones, and of ours.

    .venv/bin/python examples/network_sizes.py

Multiply-adds are those of one photograph of 512 x 512 pixels and one click, as torch's own counter finds them in
convolutions and matrix products. Nothing is downloaded: the networks have the papers' shapes and random weights.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

import saywhere
from saywhere import Click, Prompt
from saywhere.models import InteractiveModel, build

SIDE = 512
CLICK = Prompt((Click(200, 200, True, 40.0),))
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


def cost(model: InteractiveModel) -> tuple[float, float, float]:
    """Millions of parameters; billions of multiply-adds to look, and to answer a click."""
    model.eval()
    counts = []
    with torch.inference_mode():
        with FlopCounterMode(display=False) as counter:
            features = model.encode(torch.rand(1, 3, SIDE, SIDE))
        counts.append(counter.get_total_flops() / 2e9)
        with FlopCounterMode(display=False) as counter:
            model.decode(features, [CLICK], None)
        counts.append(counter.get_total_flops() / 2e9)
    return sum(p.numel() for p in model.parameters()) / 1e6, counts[0], counts[1]


def networks() -> Iterator[tuple[str, InteractiveModel]]:
    for title, name, options in NETWORKS:
        yield title, build(name, options)
    yield "saywhere, as shipped", saywhere.load().runtime.model


def main() -> None:
    print(f"{'network':30} {'parameters':>12} {'look':>10} {'answer':>10}")
    for title, model in networks():
        parameters, look, answer = cost(model)
        print(f"{title:30} {parameters:10.2f} M {look:8.1f} G {answer:8.1f} G")


if __name__ == "__main__":
    main()
