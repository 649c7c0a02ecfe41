"""Classical methods, which need no network, as runtimes: the baselines in the tables of the papers."""

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
"""The methods by name."""
SETTINGS: Final = Settings(size=256, zoom=False, enlarge=False, previous_mask_from=2)
"""Without zoom: they have no features to reuse, and their masks follow the edges of the image at any size."""

__all__ = ["CLASSICAL", "SETTINGS", "Geodesic", "GrabCut", "GraphCut", "RandomWalker", "Seeds"]
