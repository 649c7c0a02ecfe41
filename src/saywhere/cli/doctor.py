"""``saywhere doctor``: what is installed, what computes, where weights and data are."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

from rich.text import Text

from saywhere.cli.common import console
from saywhere.data.datasets import DATASETS, data_root, locate
from saywhere.errors import SaywhereError
from saywhere.runtime.weights import shipped

PACKAGES = ("saywhere", "onnxruntime", "numpy", "opencv-python-headless", "fastapi", "sqlalchemy")
# What each extra is for, and its packages.
EXTRAS = {
    "torch": ("published networks and training", ("torch", "torchvision", "timm", "lightning-fabric")),
    "bench": ("classical methods and reports", ("scipy", "scikit-image", "matplotlib", "jinja2")),
    "hub": ("weights by hub id", ("huggingface-hub",)),
    "postgres": ("annotating on PostgreSQL", ("psycopg",)),
    "ray": ("work on a cluster", ("ray",)),
}


def installed(package: str) -> str | None:
    """The version of a package; None when it is not installed."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def packages() -> Iterator[tuple[str, str]]:
    """Packages with their versions, then each extra."""
    for package in PACKAGES:
        yield package, installed(package) or "not installed, though saywhere needs it; pip install saywhere"
    for extra, (purpose, needed) in EXTRAS.items():
        versions = {package: installed(package) for package in needed}
        missing = [package for package, number in versions.items() if number is None]
        if missing:
            yield extra, f"for {purpose}: {', '.join(missing)} not installed; pip install 'saywhere[{extra}]'"
        else:
            yield extra, f"for {purpose}: " + ", ".join(f"{package} {number}" for package, number in versions.items())


def devices() -> Iterator[tuple[str, str]]:
    """What computes the shipped network, and on which device torch computes and why."""
    import onnxruntime

    providers = ", ".join(name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers())
    yield "shipped network", f"on the processor, by ONNX Runtime (which offers {providers})"
    try:
        import torch
    except ImportError:
        yield "device", "cpu, because torch is not installed: no other network, no training"
        return
    if torch.cuda.is_available():
        yield "device", f"cuda, because torch sees {torch.cuda.get_device_name()}"
    else:
        built = f"built for CUDA {torch.version.cuda} but no usable GPU" if torch.version.cuda else "built without CUDA"
        yield "device", f"cpu, because torch is {built}; {torch.get_num_threads()} threads"
    bf16 = torch.cuda.is_bf16_supported() if torch.cuda.is_available() else torch.cpu._is_avx512_bf16_supported()
    yield "training", "in bfloat16, which the device computes in" if bf16 else "in float32"


def files() -> Iterator[tuple[str, str]]:
    """Weights and data sets on this machine."""
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
    system = f"{platform.python_version()} on {platform.platform()}, {os.cpu_count()} processors"
    for name, finding in (("python", system), *packages(), *devices(), *files()):
        console.print(Text.assemble((f"{name:22} ", "bold"), finding), soft_wrap=True)
