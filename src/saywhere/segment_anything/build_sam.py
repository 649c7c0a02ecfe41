"""The registry of models, which all are ours or one that is named as the checkpoint."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

from saywhere.segment_anything.model import Sam

SAM_SUFFIXES = (".pth", ".pt")  # of checkpoints of SAM, which are not run here


def build_sam(checkpoint: str | Path | None = None) -> Sam:
    """A model for :class:`SamPredictor` and :class:`SamAutomaticMaskGenerator`.

    Args:
        checkpoint: None for our own weights, or what :func:`saywhere.load` takes, such as a weights file or
            ``sam:ENCODER.onnx,DECODER.onnx``. A checkpoint of SAM itself (``.pth``) is replaced by our weights, with a
            warning.

    Raises:
        SaywhereError: there are no such weights.

    Example:
        >>> build_sam().mask_threshold
        0.0
    """
    name = None if checkpoint is None else str(checkpoint)
    if name is not None and ":" not in name and Path(name).suffix in SAM_SUFFIXES:
        warnings.warn(
            f"checkpoint '{name}': checkpoints of SAM are not run here; our own weights take its place; to run SAM "
            "itself, export it and give sam:ENCODER.onnx,DECODER.onnx",
            stacklevel=2,
        )
        name = None
    return Sam(name)


build_sam_vit_h = build_sam_vit_l = build_sam_vit_b = build_sam

sam_model_registry: dict[str, Callable[..., Sam]] = dict.fromkeys(("default", "vit_h", "vit_l", "vit_b"), build_sam)
"""SAM's names for its sizes, all of which give the same model here."""
