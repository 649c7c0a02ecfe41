"""A vision transformer that is small enough for tests, by the name "tiny"."""

from __future__ import annotations

from typing import Any

import pytest
import timm
from timm.models.vision_transformer import VisionTransformer

NAME = "tiny"


def tiny_transformer(**options: Any) -> VisionTransformer:
    """One with patches of 14 pixels, 32 channels and two blocks."""
    return VisionTransformer(img_size=56, patch_size=14, embed_dim=32, depth=2, num_heads=2, **options)


def add_to_timm(patch: pytest.MonkeyPatch) -> str:
    """Let timm know it; returns its name."""
    create = timm.create_model
    patch.setattr(timm, "create_model", lambda name, **o: tiny_transformer(**o) if name == NAME else create(name, **o))
    return NAME
