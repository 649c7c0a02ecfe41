"""Every runtime that the tests know, by name: to register one is to run it through ``tests/runtime/test_runtimes.py``.

Each entry makes a new runtime whose answers are the same every time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from annotator import PartsRuntime, RedRuntime

from conftest import ColourRuntime, DiscRuntime
from saywhere.runtime.base import Runtime
from saywhere.runtime.classical import CLASSICAL
from saywhere.runtime.external.names import load_external
from saywhere.runtime.weights import load_runtime


def tiny_network() -> Runtime:
    """Our network with few channels and random weights, computed by torch."""
    import torch

    from saywhere.models.saywhere import Saywhere
    from saywhere.runtime.torch import TorchRuntime

    torch.manual_seed(0)
    return TorchRuntime(Saywhere(widths=(8, 8, 16, 16), key=8).eval(), "tiny", "0", "cpu")


@cache
def exported() -> tuple[Path, Path]:
    """Encoder and decoder of a stand-in for SAM 2, written once."""
    from external_models import EXPORTS

    return EXPORTS["sam2, samexporter"](Path(tempfile.mkdtemp(prefix="saywhere-tests-")))


def external_export() -> Runtime:
    """An export of another project, with phrases by our network."""
    return load_external("sam:{},{}".format(*exported()))


RUNTIMES: dict[str, Callable[[], Runtime]] = {
    **CLASSICAL,
    "colour": ColourRuntime,
    "disc": DiscRuntime,
    "external-export": external_export,
    "parts": PartsRuntime,
    "red": RedRuntime,
    "shipped": load_runtime,
    "tiny-network": tiny_network,
}
