"""What is installed, what is used, what was found: the first thing to look at when something is wrong."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from saywhere.cli.common import console
from saywhere.data.datasets import DATASETS, data_root, locate
from saywhere.errors import SaywhereError
from saywhere.runtime.weights import shipped

PACKAGES = (
    "saywhere",
    "torch",
    "torchvision",
    "onnxruntime",
    "timm",
    "numpy",
    "opencv-python-headless",
    "lightning-fabric",
)


def findings() -> Iterator[tuple[str, str]]:
    """Pairs of a name and what was found."""
    yield "python", f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} processors"
    for package in PACKAGES:
        try:
            yield package, version(package)
        except PackageNotFoundError:
            needed = "to train: the extra saywhere[train]" if package == "lightning-fabric" else "by saywhere"
            yield package, f"not installed; needed {needed}"
    import torch

    if torch.cuda.is_available():
        yield "device", f"cuda, because torch sees {torch.cuda.get_device_name()}"
    else:
        built = f"built for CUDA {torch.version.cuda} but no usable GPU" if torch.version.cuda else "built without CUDA"
        yield "device", f"cpu, because torch is {built}; {torch.get_num_threads()} threads"
    bf16 = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else torch.cpu._is_avx512_bf16_supported()
    yield "training", "in bfloat16, which the device computes in" if bf16 else "in float32"
    for name, path in shipped().items():
        yield "weights", f"{name}: {path} ({path.stat().st_size / 1e6:.1f} MB)"
    root = data_root()
    yield "SAYWHERE_DATA", f"{root}" if root else "not set: data sets are found under the folder that it names"
    missing = []
    for known in DATASETS.values():
        try:
            yield "data", f"{known.name}: {locate(*known.places)}"
        except SaywhereError:
            missing.append(known.name)
    yield "data", f"not on this machine: {', '.join(missing) or 'none'}; saywhere data says where they are obtained"


def doctor() -> None:
    """What is installed, which device is used and why, where weights and data were found."""
    for name, finding in findings():
        console.print(f"[bold]{name:14}[/bold] {finding}", highlight=False)
