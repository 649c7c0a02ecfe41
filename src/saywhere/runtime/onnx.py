"""Our network's convolutions by ONNX Runtime: the answers that torch gives, sooner on a processor.

The package's two .onnx files hold what is computed, without any weights (examples/graphs.py makes them anew when the
network changes); the weights are those of the torch network that is at hand.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import numpy as np
import onnxruntime
import torch
from torch import Tensor, nn

PLACE = files("saywhere.runtime") / "graphs"
UNSEEN = "words", "weigh_words"  # options that no graph shows
PREFIX = "model."  # of the weights' names in the files


@cache
def described() -> Any:
    """``options`` of the network whose graphs these are; for "look" and "answer" its ``inputs``, ``outputs`` and
    ``weights``."""
    return json.loads((PLACE / "graphs.json").read_text())


class Graphs:
    """Stands in for ``look``, ``purified`` and ``answer`` of a network in evaluation mode, its batch norms folded.

    It holds the weights that the network has when a graph first runs with so many threads, those of torch.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self._sessions: dict[int, dict[str, onnxruntime.InferenceSession]] = {}  # by count of threads
        self._held: list[Any] = []  # ONNX Runtime reads these as long as it runs
        self._lock = threading.Lock()

    @classmethod
    def of(cls, model: nn.Module, options: Mapping[str, Any]) -> Graphs | None:
        """Those of our network with these options; None where the graphs are of other ones."""
        told = {key: value for key, value in options.items() if key not in UNSEEN}
        return cls(model) if told == described()["options"] else None

    def look(self, image: Tensor) -> dict[str, tuple[Tensor, ...]]:
        """The levels by what they are, finest first, the raw ones too."""
        found: dict[str, tuple[Tensor, ...]] = {}
        for name, made in zip(described()["look"]["outputs"], self._run("look", image), strict=True):
            kind = name.rstrip("0123456789")
            found[kind] = (*found.get(kind, ()), made)
        return found

    def answer(self, *asked: Tensor | None) -> Tensor:
        (logits,) = self._run("answer", *asked)
        return logits

    def _run(self, graph: str, *given: Tensor | None) -> tuple[Tensor, ...]:
        names = described()[graph]["inputs"]
        fed = {n: x.float().contiguous().numpy() for n, x in zip(names, given, strict=True) if x is not None}
        return tuple(torch.from_numpy(np.asarray(made)) for made in self._ready()[graph].run(None, fed))

    def _ready(self) -> dict[str, onnxruntime.InferenceSession]:
        """Both graphs for torch's present count of threads, so that a first look also readies the first answer."""
        threads = torch.get_num_threads()
        with self._lock:
            if threads not in self._sessions:
                self._sessions[threads] = {graph: self._made(graph, threads) for graph in ("look", "answer")}
            return self._sessions[threads]

    def _made(self, graph: str, threads: int) -> onnxruntime.InferenceSession:
        state = self.model.state_dict()
        names = described()[graph]["weights"]
        values = [
            onnxruntime.OrtValue.ortvalue_from_numpy(state[n.removeprefix(PREFIX)].float().contiguous().numpy())
            for n in names
        ]
        self._held.append(values)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        # Threads that wait by spinning would take the time of torch's, and of whatever else runs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.add_external_initializers(names, values)
        content = (PLACE / f"{graph}.onnx").read_bytes()
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
