"""Models of other projects by name: ``sam:ENCODER.onnx,DECODER.onnx`` and ``ritm:CHECKPOINT.pth@CHECKOUT``."""

from __future__ import annotations

from pathlib import Path

from saywhere.errors import SaywhereError, needing
from saywhere.runtime.base import Runtime
from saywhere.runtime.external.phrases import PhraseRuntime
from saywhere.runtime.external.sam import SamRuntime
from saywhere.runtime.weights import load_runtime

SAM = "sam"
SAM_FORM = "sam:ENCODER.onnx,DECODER.onnx, or sam:FOLDER with these two files"
CHECKPOINTS = ("ritm", "focalclick", "simpleclick")
"""Of these projects, whose networks have one interface; which of them it is, the network itself shows."""


class ExternalRuntime(PhraseRuntime):
    """A model of another project, with phrases by our own network.

    Args:
        name: see :func:`load_external`.
        device: as there.
    """

    def __init__(self, name: str, device: str | None = None) -> None:
        self._given = name, device
        super().__init__(_load(name, device), load_runtime())

    def __reduce__(self) -> tuple[type[ExternalRuntime], tuple[str, str | None]]:
        return type(self), self._given


def is_external(name: str) -> bool:
    """Whether a name is written like that of a model of another project.

    Example:
        >>> is_external("sam:encoder.onnx,decoder.onnx"), is_external("own_method:make")
        (True, False)
    """
    return name.partition(":")[0] in (SAM, *CHECKPOINTS) and ":" in name


def load_external(name: str, device: str | None = None) -> Runtime:
    """Load a model of another project.

    Args:
        name: ``sam:ENCODER.onnx,DECODER.onnx``, in either order, or ``sam:FOLDER``; or
            ``ritm:CHECKPOINT.pth@CHECKOUT``, and the same for ``focalclick`` and ``simpleclick``, with the folder of a
            clone of the project.
        device: None or "cpu"; for networks of torch as for :func:`saywhere.runtime.torch.find_device`.

    Returns:
        The model, with phrases by our own network.

    Raises:
        SaywhereError: its files cannot be had, or are not of such a model.
    """
    return ExternalRuntime(name, device)


def _load(name: str, device: str | None) -> Runtime:
    prefix, _, files = name.partition(":")
    if prefix in CHECKPOINTS:
        return _load_checkpoint(name, files, device)
    if device not in (None, "cpu"):
        raise SaywhereError(f"model '{name}': runs on the processor, not on '{device}'; leave the device out")
    return SamRuntime(*_pair(name, files))


def _load_checkpoint(name: str, files: str, device: str | None) -> Runtime:
    prefix = name.partition(":")[0]
    checkpoint, at, checkout = files.rpartition("@")
    if not (checkpoint and at and checkout):
        raise SaywhereError(f"model '{name}': no checkout in it; give {prefix}:CHECKPOINT.pth@FOLDER-OF-A-CLONE")
    with needing("torch", f"model '{name}'"):
        from saywhere.runtime.external.ritm import RitmRuntime
    return RitmRuntime(Path(checkpoint), Path(checkout), device)


def _pair(name: str, text: str) -> tuple[Path, Path]:
    """The two files of a name; a comma may be part of a path."""
    folder = Path(text)
    if text and folder.is_dir():
        found = sorted(folder.glob("*.onnx"))
        if len(found) != 2:
            names = ", ".join(path.name for path in found) or "none"
            raise SaywhereError(f"model '{name}': two ONNX files are expected in the folder; found {names}")
        return found[0], found[1]
    parts = text.split(",")
    splits = [(Path(",".join(parts[:i])), Path(",".join(parts[i:]))) for i in range(1, len(parts))]
    for split in splits:
        if all(path.is_file() for path in split):
            return split
    if len(splits) != 1 or not all(parts):
        count = "one file" if len(parts) == 1 else f"{len(parts)} parts"
        raise SaywhereError(f"model '{name}': {count} instead of two; give {SAM_FORM}")
    missing = next(path for path in splits[0] if not path.is_file())
    raise SaywhereError(f"model '{name}': no file '{missing}'; give {SAM_FORM}")
