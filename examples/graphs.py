"""Make src/saywhere/models/onnx anew: what our network computes when it looks and when it answers, without weights.

    .venv/bin/python examples/graphs.py

Needed when the network's code or its options change; other weights of the same network need nothing. The options are
those of the shipped weights.
"""

from __future__ import annotations

import inspect
import json
import warnings
from pathlib import Path
from typing import Any
from unittest import mock

import onnx
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saywhere.core.prompt import Click, Prompt
from saywhere.models.checkpoint import load_model
from saywhere.models.saywhere import Saywhere
from saywhere.runtime.fuse import fuse_batch_norms
from saywhere.runtime.onnx import PREFIX, UNSEEN
from saywhere.runtime.weights import find_weights

TO = Path(__file__).parent.parent / "src" / "saywhere" / "runtime" / "graphs"
OPSET = 17
SIDES = 128, 192  # of the trial image; the graphs take any


class Look(nn.Module):
    """All levels, one after another.

    Pixels are folded into channels by a convolution that moves them: ONNX Runtime takes ten times as long to transpose.
    """

    def __init__(self, model: Saywhere) -> None:
        super().__init__()
        self.model = model
        channels = model.encoder.feature_info.channels()[0]
        self.register_buffer("moves", torch.eye(4 * channels).view(-1, channels, 2, 2))

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        with mock.patch.object(F, "pixel_unshuffle", lambda x, _: F.conv2d(x, self.moves, stride=2)):
            raw = self.model.look(image)
        return *raw, *(level for levels in self.model.purified(raw).values() for level in levels)


class Answer(nn.Module):
    def __init__(self, model: Saywhere) -> None:
        super().__init__()
        self.model = model

    def forward(self, *asked: Tensor) -> Tensor:
        return self.model.answer(*asked)


def write(name: str, module: nn.Module, given: dict[str, Tensor], outputs: list[str]) -> dict[str, Any]:
    """Write one graph; returns the names of what it takes and of the weights that it lacks."""
    path = TO / f"{name}.onnx"
    axes = {n: {0: "batch", 2: f"{n}_h", 3: f"{n}_w"} for n in [*given, *outputs]}
    axes |= {n: {0: "batch"} for n in ("context", "told") if n in given}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that needs no further library is called old
        torch.onnx.export(
            module, tuple(given.values()), path, dynamo=False, opset_version=OPSET, do_constant_folding=False,
            input_names=list(given), output_names=outputs, dynamic_axes=axes,
        )  # fmt: skip
    model = onnx.load(path)
    weights = [tensor for tensor in model.graph.initializer if tensor.name.startswith(PREFIX)]
    for tensor in weights:
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", "weights"), ("offset", "0"), ("length", "0")):
            tensor.external_data.add(key=key, value=value)
    onnx.save_model(model, path)
    return {"inputs": list(given), "outputs": outputs, "weights": [tensor.name for tensor in weights]}


def main() -> None:
    loaded = load_model(find_weights())
    model = fuse_batch_norms(loaded.model).requires_grad_(False)
    assert isinstance(model, Saywhere)
    h, w = SIDES
    image = torch.rand(1, 3, h, w)
    asked: list[Tensor] = []
    answer = model.answer
    model.answer = lambda *given: (asked.extend(given), answer(*given))[1]
    features = model.encode(image)
    model.decode(features, [Prompt((Click(w / 2, h / 2),))], None)
    del model.answer  # the class has its own
    names = list(inspect.signature(model.answer).parameters)
    told = dict(zip(names, asked, strict=True))
    levels = [f"{kind}{i}" for kind, found in features.levels.items() for i in range(len(found))]
    TO.mkdir(exist_ok=True)
    found = {
        "options": {k: v for k, v in loaded.facts["options"].items() if k not in UNSEEN},
        "look": write("look", Look(model), {"image": image}, levels),
        "answer": write("answer", Answer(model), told, ["logits"]),
    }
    (TO / "graphs.json").write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
