"""Methods from before networks, behind the same Segmenter: the first rows of every paper's table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from saywhere.core.settings import Settings
from saywhere.runtime.base import Runtime
from saywhere.runtime.classical.base import Seeds
from saywhere.runtime.classical.geodesic import Geodesic
from saywhere.runtime.classical.grabcut import GrabCut
from saywhere.runtime.classical.graphcut import GraphCut
from saywhere.runtime.classical.randomwalker import RandomWalker

CLASSICAL: Final[Mapping[str, type[Runtime]]] = {
    "graph-cut": GraphCut,
    "grabcut": GrabCut,
    "random-walker": RandomWalker,
    "geodesic": Geodesic,
}
# No zoom: they have no features to reuse, and their masks are as sharp as the image that they are given.
SETTINGS: Final = Settings(size=256, zoom=False, enlarge=False, previous_mask_from=2)

__all__ = ["CLASSICAL", "SETTINGS", "Geodesic", "GrabCut", "GraphCut", "RandomWalker", "Seeds"]
